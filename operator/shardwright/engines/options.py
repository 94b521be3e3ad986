"""The user's `engine.args`: what each becomes on the command line, and why some are refused.

Pure: reads the option table, decides on each entry alone. Layout and memory consequences are the planner's.
"""

import json
from collections.abc import Iterator
from difflib import get_close_matches

import yaml

from shardwright.api.problems import FieldProblem, path_of
from shardwright.api.reasons import Reason
from shardwright.catalog.engine_options import EngineOptions, Option

BOOLEANS = {"true": True, "false": False, "": True, "1": True, "0": False}
UNITS = "kKmMgGtT"


def canonical(name: str, options: EngineOptions) -> str:
    """Find the option's own longest spelling, in the engine's letters; unknown names come back as they are."""
    option = options.options.get(name.replace("_", "-"))
    return option.name if option else name


def refusals(args: dict[str, str], options: EngineOptions) -> Iterator[FieldProblem]:
    """Every entry that the engine would not take, or that is not the user's to set, in the order of their names."""
    seen: dict[str, str] = {}
    for name in sorted(args):
        field = path_of(("spec", "engine", "args", name))
        target = canonical(name, options)
        if target in seen:
            message = f"{name} and {seen[target]} are one option: keep one of them"
            yield FieldProblem(field, Reason.UNSUPPORTED_ARGUMENT, message)
        seen[target] = name
        problem = _problem(name, target, args[name], options)
        if problem:
            yield FieldProblem(field, Reason.UNSUPPORTED_ARGUMENT, problem)


def _problem(name: str, target: str, value: str, options: EngineOptions) -> str:
    if target in options.refused:
        return f"{name} is not set here: use {options.refused[target]}"
    if target in options.yaml_keys:
        return _ill_shaped(name, value)
    if name.startswith("-"):
        return f"{name} is written without dashes in front: {name.lstrip('-')}"
    option = options.options.get(name.replace("_", "-"))
    if option is None:
        return _unknown(name, options)
    return _ill_typed(name, option, value)


def _ill_shaped(name: str, value: str) -> str:
    """Say what is wrong with a value that goes to a file, or nothing."""
    if not is_yaml(value):
        return f"{name} is not YAML: {value!r}"
    if name.endswith("_config") and not isinstance(yaml.safe_load(value), dict):
        return f"{name} is a mapping as YAML or JSON text, not {value!r}"
    return ""


def _unknown(name: str, options: EngineOptions) -> str:
    known = sorted({option.name for option in options.options.values()} | options.yaml_keys)
    bare = name.removeprefix("no-")
    if name.startswith("no-") and bare in options.options:
        return f'{name} is written as {bare}: "false"'
    near = get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{options.engine} {options.version} has no option {name}{hint}"


def _ill_typed(name: str, option: Option, value: str) -> str:
    """Say what is wrong with the value, or nothing."""
    if option.takes in ("switch", "flag"):
        return "" if value.lower() in BOOLEANS else f'{name} is "true" or "false", not {value!r}'
    if option.takes == "list":
        problems = [_ill_typed_value(name, option, item) for item in _items(value)]
        return next((problem for problem in problems if problem), "")
    if value == "" and option.takes == "optional-value":
        return ""
    return _ill_typed_value(name, option, value)


def _ill_typed_value(name: str, option: Option, value: str) -> str:
    if option.choices and value not in option.choices:
        return f"{name} is one of {', '.join(option.choices)}, not {value!r}"
    expected = {
        "integer": ("a whole number", _is_integer),
        "number": ("a number", _is_number),
        "tokens": ("a count such as 32768 or 32k", _is_tokens),
        "tokens-or-auto": ("a count such as 32768 or 32k, or auto", _is_tokens_or_auto),
        "json": ("JSON", _is_json),
    }.get(option.type)
    if expected and not expected[1](value):
        return f"{name} is {expected[0]}, not {value!r}"
    return ""


def arguments(args: dict[str, str], options: EngineOptions) -> list[str]:
    """Write the words of entries that were not refused, sorted; those that belong in a file are left out."""
    words: list[str] = []
    for name in sorted(args):
        option = options.options.get(name.replace("_", "-"))
        if option is not None and canonical(name, options) not in options.yaml_keys:
            words.extend(_words(option, args[name]))
    return words


def _words(option: Option, value: str) -> list[str]:
    if option.takes in ("switch", "flag"):
        if BOOLEANS[value.lower()]:
            return [f"--{option.name}"]
        return [f"--no-{option.name}"] if option.takes == "switch" else []
    if option.takes == "list":
        return [f"--{option.name}", *_items(value)]
    return [f"--{option.name}"] if option.takes == "optional-value" and not value else [f"--{option.name}={value}"]


def _items(value: str) -> list[str]:
    """Split a list option: a JSON list, else words separated by spaces."""
    try:
        items = json.loads(value)
    except ValueError:
        return value.split()
    if not isinstance(items, list):
        return [value]
    return [item if isinstance(item, str) else json.dumps(item) for item in items]


def _is_integer(text: str) -> bool:
    return text.lstrip("+-").isdecimal() and len(text) < 20


def _is_number(text: str) -> bool:
    try:
        return float(text) == float(text)
    except ValueError:
        return False


def _is_tokens(text: str) -> bool:
    return _is_number(text[:-1] if text[-1:] in UNITS and text[:-1] else text)


def _is_tokens_or_auto(text: str) -> bool:
    return text in ("auto", "-1") or _is_tokens(text)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def is_yaml(text: str) -> bool:
    """Whether a text is YAML; all JSON is."""
    try:
        yaml.safe_load(text)
    except yaml.YAMLError:
        return False
    return True
