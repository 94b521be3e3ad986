"""What vLLM does to a command line before argparse sees it: underscores, `-O3`, dotted JSON keys, a file of options."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from fake_engine.converters import human_readable_int
from fake_engine.refusal import Refused

MODEL_FIRST = (
    "`model` should be provided as the first positional argument when using `vllm serve`. "
    "i.e. `vllm serve <model> --<arg> <value>`."
)


def rewritten(args: list[str], negations: set[str]) -> list[str]:
    """The arguments in the one spelling that the table knows; `negations` are the `--no-…` options there are."""
    if args[:1] == ["serve"]:
        args = _model_in_front(args)
    if "--config" in args:
        args = _with_file(args, negations)
    return _dotted_joined(
        [word for index, arg in enumerate(args) for word in _spelled(arg, args[index + 1 : index + 2])]
    )


def _model_in_front(args: list[str]) -> list[str]:
    at = next((index for index, arg in enumerate(args) if re.match(r"^--model(=.+|$)", arg)), None)
    if at is not None:
        if args[at] == "--model" and at + 1 < len(args):
            return ["serve", args[at + 1], *args[1:at], *args[at + 2 :]]
        return ["serve", args[at].removeprefix("--model="), *args[1:at], *args[at + 1 :]]
    named = any(re.match(r"^--served[-_]model[-_]name(=.+|$)", arg) for arg in args)
    if named and len(args) > 1 and args[1].startswith("-") and "--config" not in args:
        raise Refused(MODEL_FIRST)
    return args


def _with_file(args: list[str], negations: set[str]) -> list[str]:
    """Options from the file go right behind the model, so that the command line wins."""
    at = args.index("--config")
    if at == len(args) - 1:
        raise Refused("No config file specified! Please check your command-line arguments.")
    found = _file_options(Path(args[at + 1]), negations)
    rest = args[:at] + args[at + 2 :]
    model_given = len(args) > 1 and not args[1].startswith("-")
    if not model_given and "--model" not in found:
        raise Refused("No model specified! Please specify model either as a positional argument or in a config file.")
    if not model_given:
        model = found[found.index("--model") + 1]
        return ["serve", model, *_without(found, "--model"), *rest[1:]]
    return [*rest[:2], *found, *rest[2:]]


def _without(words: list[str], option: str) -> list[str]:
    at = words.index(option)
    return words[:at] + words[at + 2 :]


def _file_options(path: Path, negations: set[str]) -> list[str]:
    if path.suffix not in {".yaml", ".yml"}:
        raise Refused(f"Config file must be of a yaml/yml type. {path.name.rsplit('.', maxsplit=1)[-1]} supplied")
    try:
        found = yaml.safe_load(path.read_text())
    except OSError as missing:
        raise Refused(f"[Errno {missing.errno}] {missing.strerror}: '{path}'", "FileNotFoundError") from missing
    words: list[str] = []
    for key, value in (found or {}).items():
        words += _file_option(key, value, negations)
    return words


def _file_option(key: str, value: Any, negations: set[str]) -> list[str]:
    if value is True:
        return [f"--{key}"]
    if value is False:
        return [f"--no-{key}"] if f"--no-{key}" in negations else []
    if isinstance(value, list):
        return [f"--{key}", *map(str, value)] if value else []
    return [f"--{key}", json.dumps(value) if isinstance(value, dict) else str(value)]


def _spelled(arg: str, following: list[str]) -> list[str]:
    if arg.startswith("--"):
        key, equals, value = arg.partition("=")
        name, dot, rest = key.partition(".")
        return [name.replace("_", "-") + dot + rest + equals + value]
    if arg == "-O" and following and following[0] in {"0", "1", "2", "3"}:
        return ["--optimization-level"]
    if arg.startswith("-O") and arg != "-O":
        return ["--optimization-level", arg[2:].removeprefix("=")]
    return [arg]


def _dotted_joined(args: list[str]) -> list[str]:
    """`--a.b.c v` becomes `--a '{"b": {"c": v}}'`; several for one option are merged."""
    kept: list[str] = []
    objects: dict[str, dict[str, Any]] = {}
    words = iter(args)
    for word in words:
        path, equals, value = word.partition("=")
        if not word.startswith("-") or "." not in path or re.fullmatch(r"-[\d.]+", word):
            kept.append(word)
            continue
        value = value if equals else next(words, "")
        option, *keys = path.removesuffix("+").split(".")
        listed = path.endswith("+")
        _merge(objects.setdefault(option, {}), keys, value.split(",") if listed else _value(value))
    return kept + [word for option, found in objects.items() for word in (option, json.dumps(found))]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        try:
            return human_readable_int(text)
        except Exception:
            return text


def _merge(into: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        into = into.setdefault(key, {})
    last = keys[-1]
    into[last] = into[last] + value if isinstance(value, list) and isinstance(into.get(last), list) else value
