"""Frozen dataclasses to JSON and back, by their annotations, so that a plan can be kept whole.

Knows no particular type.

An unknown or missing field is an error: what an other version wrote is not guessed at, the caller plans anew.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints


class CodecError(ValueError):
    """The JSON does not describe a value of the wanted type."""


def encode(value: Any) -> Any:
    """A JSON value; fields that hold their default are left out."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in fields(value) if getattr(value, f.name) != _default(f)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    return value


def decode(wanted: Any, value: Any) -> Any:
    """The value of the wanted type that `encode` wrote. Raises CodecError."""
    origin = get_origin(wanted)
    if origin in {Union, UnionType}:
        return _decode_union(get_args(wanted), value)
    if origin is tuple:
        return _decode_tuple(get_args(wanted), value)
    if not isinstance(wanted, type):
        raise CodecError(f"{wanted} cannot be read back")
    if is_dataclass(wanted):
        return _decode_dataclass(wanted, value)
    if issubclass(wanted, Enum):
        return wanted(value)
    if wanted in {int, str, bool, float} and type(value) is wanted:
        return value
    raise CodecError(f"{value!r} is not {wanted.__name__}")


def _default(field: Any) -> Any:
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else MISSING


@lru_cache(maxsize=256)
def _hints(wanted: type) -> dict[str, Any]:
    return get_type_hints(wanted)


def _decode_dataclass(wanted: type, value: Any) -> Any:
    hints = _hints(wanted)
    if not isinstance(value, Mapping) or not set(value) <= set(hints):
        raise CodecError(f"{wanted.__name__} has no such fields: {value!r:.200}")
    try:
        return wanted(**{name: decode(hints[name], item) for name, item in value.items()})
    except TypeError as error:
        raise CodecError(f"{wanted.__name__}: {error}") from error


def _decode_union(choices: tuple[Any, ...], value: Any) -> Any:
    if value is None and NoneType in choices:
        return None
    for choice in choices:
        if choice is not NoneType:
            try:
                return decode(choice, value)
            except ValueError:
                continue
    raise CodecError(f"{value!r:.200} is none of {choices}")


def _decode_tuple(items: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise CodecError(f"{value!r:.200} is not a list")
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(decode(items[0], item) for item in value)
    if len(items) != len(value):
        raise CodecError(f"{value!r:.200} has not {len(items)} entries")
    return tuple(decode(kind, item) for kind, item in zip(items, value, strict=True))
