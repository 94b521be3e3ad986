"""The converters of vLLM's options, by the names that the exported table gives them.

argparse prints a converter's `__name__` in its errors, so the names here are those of the real ones.
"""

import argparse
import json
import re
from collections.abc import Callable
from typing import Any

Converter = Callable[[str], Any]
DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def human_readable_int(value: str) -> int:
    """`1k` is 1000, `1K` is 1024; fractions go with decimal suffixes only."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMgGtT])", value.strip())
    if not found:
        return int(value)
    number, suffix = found.groups()
    if suffix in DECIMAL:
        return int(float(number) * DECIMAL[suffix])
    if "." in number:
        raise argparse.ArgumentTypeError(
            f"Decimals are not allowed with binary suffixes like {suffix}. "
            f"Did you mean to use {number}{suffix.lower()} instead?"
        )
    return int(number) * BINARY[suffix]


def human_readable_int_or_auto(value: str) -> int:
    """As `human_readable_int`; `-1` and `auto` mean the largest that fits, -1."""
    return -1 if value.strip() == "-1" or value.strip().lower() == "auto" else human_readable_int(value)


def union_dict_and_str(value: str) -> Any:
    """An object when it looks like one, else the text."""
    return _converted(json.loads, value) if re.match(r"(?s)^\s*{.*}\s*$", value) else value


def _converted(inner: Converter, value: str) -> Any:
    try:
        return inner(value)
    except ValueError as refused:
        raise argparse.ArgumentTypeError(f"Value {value} cannot be converted to {inner}.") from refused


def _sizes_in_json(text: str) -> str:
    parts = re.split(r'("(?:[^"\\]|\\.)*")', text)
    parts[::2] = [
        re.sub(r"\b\d+(?:\.\d+)?[kKmMgGtT]\b", lambda size: str(human_readable_int(size.group())), part)
        for part in parts[::2]
    ]
    return "".join(parts)


def _json_object(owner: str, keys: list[str]) -> Converter:
    """Reads the JSON of one of vLLM's configuration classes, whose keys are known."""

    def parse_dataclass(value: str) -> Any:
        heading = f"1 validation error for {owner}\n"
        try:
            found = json.loads(_sizes_in_json(value))
        except ValueError as broken:
            raise argparse.ArgumentTypeError(f"{heading}  Invalid JSON: {broken} [type=json_invalid]") from broken
        if not isinstance(found, dict):
            raise argparse.ArgumentTypeError(
                f"{heading}  Input should be a dictionary or an instance of {owner} [type=dataclass_type]"
            )
        unknown = sorted(set(found) - set(keys))
        if unknown:
            raise argparse.ArgumentTypeError(
                f"{heading}{unknown[0]}\n  Unexpected keyword argument [type=unexpected_keyword_argument]"
            )
        return found

    return parse_dataclass


def _device_ids(value: str) -> list[int | str]:
    return [int(part) if part.isdigit() else part for part in value.split(",")]


def _lower(value: str) -> str:
    return value.lower().replace("-", "_")


PLAIN: dict[str, Converter] = {
    "int": int,
    "float": float,
    "str": str,
    "json": json.loads,
    "size": human_readable_int,
    "size-or-auto": human_readable_int_or_auto,
    "json-or-str": union_dict_and_str,
    "device-ids": _device_ids,
    "lower": _lower,
}


def converter(kind: str, json_keys: dict[str, list[str]]) -> Converter:
    """The converter that a row of the table names."""
    wrapper, _, rest = kind.partition(":")
    if wrapper == "dataclass":
        return _json_object(rest, json_keys[rest])
    if wrapper == "parse":
        inner = converter(rest, json_keys)
        return _named(lambda value: _converted(inner, value), "_parse_type")
    if wrapper == "optional":
        inner = converter(rest, json_keys)
        return _named(lambda value: None if value in {"", "None"} else _converted(inner, value), "_optional_type")
    return PLAIN[kind]


def _named(function: Converter, name: str) -> Converter:
    function.__name__ = name
    return function
