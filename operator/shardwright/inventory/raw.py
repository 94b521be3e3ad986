"""Access to dicts that may hold anything: a missing or ill-typed field is an empty one, never an exception.

Knows Kubernetes quantities, and no label, resource or product.
"""

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

_QUANTITY = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)$", re.ASCII)
_SUFFIXES = {
    "": Fraction(1),
    **{suffix: Fraction(1, 1000**power) for power, suffix in enumerate("mun", start=1)},
    **{suffix: Fraction(1000**power) for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Fraction(1024**power) for power, suffix in enumerate("KMGTPE", start=1)},
}


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: object) -> Iterable[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list | tuple) else ()


def text(value: object) -> str:
    """The value if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def texts(value: object) -> dict[str, str]:
    """The string entries of a mapping: labels and annotations as the API serves them."""
    return {key: item for key, item in mapping(value).items() if isinstance(key, str) and isinstance(item, str)}


def at(value: object, *path: str) -> Any:
    """What stands at a path of keys; None where any step is missing."""
    for key in path:
        value = mapping(value).get(key)
    return value


def quantity(value: object) -> Fraction | None:
    """Read a Kubernetes quantity ("8", "1e3", "16Gi", 8); None where it is none."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return Fraction(value)
    found = _QUANTITY.match(str(value).strip()[:64]) if isinstance(value, str | float) else None
    if found is None:
        return None
    factor = _power_of_ten(int(found[2])) if found[2] else _SUFFIXES.get(found[3] or "", Fraction(1))
    return Fraction(found[1]) * factor


def _power_of_ten(exponent: int) -> Fraction:
    power: int = 10 ** abs(exponent)
    return Fraction(power) if exponent >= 0 else Fraction(1, power)


def whole(value: object) -> int:
    """Read a count of devices; 0 where it is not whole or negative, which the API does not allow for devices."""
    amount = quantity(value)
    return int(amount) if amount is not None and amount.denominator == 1 and 0 <= amount <= 1 << 40 else 0


def number(value: str | None) -> int | None:
    """Read a label that is a plain decimal number."""
    value = (value or "").strip()
    return int(value) if value.isascii() and value.isdigit() and len(value) <= 18 else None
