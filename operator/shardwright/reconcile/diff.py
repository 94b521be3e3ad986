"""Does a live object still say what we want it to say? Pure; only what we want is compared, what others add is theirs.

The API server fills defaults, sorts nothing and rewrites quantities, so lists are matched by their merge key where
they have one and quantities are compared as numbers. A hash tells whether the wish itself changed; a comparison
whether the object did.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

MERGE_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "ownerReferences": ("uid",),
    "imagePullSecrets": ("name",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
"""Lists that the API merges by key, with that key.

Ports are matched in `_port_key`, because the protocol has a default.
"""
QUANTITY_FIELDS = frozenset({"limits", "requests", "sizeLimit", "averageValue", "divisor", "storage"})
_SUFFIXES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


def differences(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> tuple[str, ...]:
    """Paths of the wanted leaves that the live object lacks or has otherwise, with the live value; sorted."""
    return tuple(sorted(_compare(wanted, live, "", "")))


def _compare(wanted: object, live: object, path: str, field: str) -> Iterator[str]:
    if isinstance(wanted, dict):
        yield from _compare_maps(wanted, live, path, field)
    elif isinstance(wanted, list | tuple):
        yield from _compare_lists(wanted, live, path, field)
    elif wanted is not None and not _same_leaf(wanted, live, field):
        yield f"{path}={live!r}"


def _compare_maps(wanted: Mapping[str, Any], live: object, path: str, field: str) -> Iterator[str]:
    if not isinstance(live, dict):
        if wanted or live is not None:
            yield f"{path}={live!r}"
        return
    for name, value in wanted.items():
        inner = field if field in QUANTITY_FIELDS else name
        if _empty(value) and _empty(live.get(name)):
            continue
        yield from _compare(value, live.get(name), f"{path}.{name}", inner)


def _compare_lists(wanted: Sequence[Any], live: object, path: str, field: str) -> Iterator[str]:
    if not isinstance(live, list):
        yield f"{path}={live!r}"
        return
    if field == "ports" or field in MERGE_KEYS:
        by_key = {_key(item, field): item for item in live}
        for item in wanted:
            key = _key(item, field)
            if key not in by_key:
                yield f"{path}[{key}]=None"
            else:
                yield from _compare(item, by_key[key], f"{path}[{key}]", "")
        return
    if len(wanted) != len(live):
        yield f"{path}={live!r}"
        return
    for index, (item, other) in enumerate(zip(wanted, live, strict=True)):
        yield from _compare(item, other, f"{path}[{index}]", field)


def _key(item: Mapping[str, Any], field: str) -> tuple[str, ...]:
    if field == "ports":
        return (str(item.get("containerPort") or item.get("port")), str(item.get("protocol") or "TCP"))
    return tuple(str(item.get(name)) for name in MERGE_KEYS[field])


def _empty(value: object) -> bool:
    return value is None or value in ({}, [], ())


def _same_leaf(wanted: object, live: object, field: str) -> bool:
    if wanted == live and type(wanted) is type(live):
        return True
    if field in QUANTITY_FIELDS and live is not None:
        return _quantity(wanted) == _quantity(live) is not None
    return wanted in ("", False, 0) and live is None


def _quantity(value: object) -> Decimal | None:
    text = str(value)
    for suffix, power in _BINARY.items():
        if text.endswith(suffix):
            return _decimal(text[: -len(suffix)], 1024**power)
    if text and text[-1] in _SUFFIXES:
        return _decimal(text[:-1], Decimal(10) ** _SUFFIXES[text[-1]])
    return _decimal(text, 1)


def _decimal(text: str, factor: int | Decimal) -> Decimal | None:
    try:
        return Decimal(text) * factor
    except InvalidOperation:
        return None
