"""Reads a `vllm` command line as the real parser of 0.32.0 does, from the option table that was exported from it."""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any, NoReturn

from fake_engine.converters import converter
from fake_engine.flexible import rewritten
from fake_engine.refusal import Refused

USAGE = "vllm serve [model_tag] [options]"
TASK_HINT = (
    "\n\nHint: --task is not a vllm serve option. For embedding, reranking, or reward models, use --runner pooling. To adapt "
    "a generative model for pooling, also use --convert embed, --convert classify, or --convert reward."
)


@cache
def table() -> dict[str, Any]:
    """The exported table: options, limits, keys of JSON options."""
    found: dict[str, Any] = json.loads(resources.files("fake_engine.data").joinpath("vllm-0.32.0.json").read_text())
    return found


class _LoraModules(argparse.Action):
    """`name=path`, or JSON."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        for item in values:
            if "=" not in item or "," in item:
                try:
                    json.loads(item)
                except ValueError:
                    parser.error(f"Invalid JSON format for --lora-modules: {item}")
        setattr(namespace, self.dest, values)


class VllmParser(argparse.ArgumentParser):
    """argparse, with vLLM's hint for a flag that many people still type."""

    def error(self, message: str) -> NoReturn:
        """Leave with status 2 and the usage, as argparse does."""
        if message.startswith("unrecognized arguments:") and re.search(r"(^|\s)--task(=|\s|$)", message):
            message += TASK_HINT
        super().error(message)


def _add(parser: argparse.ArgumentParser, row: dict[str, Any]) -> None:
    names, kind = row["names"], row["kind"]
    if not names:
        parser.add_argument(row["dest"], nargs=row.get("nargs"), type=str)
        return
    extra: dict[str, Any] = {"dest": row["dest"], "default": row["default"]}
    if kind == "boolean":
        plain = [name for name in names if not name.startswith("--no-")]
        parser.add_argument(*plain, action=argparse.BooleanOptionalAction, **extra)
    elif kind == "flag":
        parser.add_argument(*names, action="store_true", **extra)
    else:
        extra["type"] = converter(row["type"], table()["json_keys"])
        extra |= {key: row[key] for key in ("nargs", "const", "choices") if key in row}
        actions: dict[str, Any] = {"append": "append", "lora": _LoraModules}
        if kind in actions:
            extra |= {"action": actions[kind], "default": None}
        parser.add_argument(*names, **extra)


@cache
def _parsers() -> tuple[VllmParser, argparse.ArgumentParser]:
    top = VllmParser(prog="vllm", description="vLLM CLI")
    top.add_argument("-v", "--version", action="version", version=table()["version"])
    serve = top.add_subparsers(dest="subparser").add_parser("serve", prog="vllm serve", usage=USAGE)
    for row in table()["options"]:
        _add(serve, row)
    return top, serve


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse everything after `vllm`. Leaves with status 2 where the real parser does, else raises `Refused`."""
    top, serve = _parsers()
    boolean = {name for action in serve._actions for name in action.option_strings if name.startswith("--no-")}
    args = top.parse_args(rewritten(list(argv), boolean))
    if args.subparser != "serve":
        top.print_help(sys.stderr)
        raise SystemExit(0)
    args.model = args.model_tag or args.model
    _within_bounds(args)
    return args


def _within_bounds(args: argparse.Namespace) -> None:
    """Only what no rule in `vllm_checks` depends on is checked there; an optimisation level is refused at once."""
    level = getattr(args, "optimization_level", None)
    if level not in {None, 0, 1, 2, 3, "0", "1", "2", "3"}:
        raise Refused("optimization_level\n  Input should be 0, 1, 2 or 3", "ValidationError", "VllmConfig")
