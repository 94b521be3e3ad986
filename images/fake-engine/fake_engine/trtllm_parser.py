"""Reads a `trtllm-serve` command line with click, as the real one does, from a table of its documented options."""

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import yaml

from fake_engine.refusal import Refused, out_of_bounds


@cache
def table() -> dict[str, Any]:
    """Options and YAML keys, with their sources."""
    found: dict[str, Any] = json.loads(resources.files("fake_engine.data").joinpath("trtllm-1.2.1.json").read_text())
    return found


class _Choice(click.Choice):  # type: ignore[type-arg]
    """A choice with other spellings."""

    def __init__(self, choices: Sequence[str], aliases: dict[str, str]) -> None:
        super().__init__(choices)
        self.spellings = aliases

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take an alias for what it means."""
        return super().convert(self.spellings.get(value, value), param, ctx)


def _option(row: dict[str, Any]) -> click.Option:
    kinds: dict[str, Any] = {
        "str": click.STRING,
        "int": click.INT,
        "float": click.FLOAT,
        "folder": click.Path(exists=True, readable=True),
    }
    names = [*row["names"], row["dest"]]
    if row.get("type") == "flag":
        return click.Option(names, is_flag=True, default=False)
    kind = _Choice(row["choices"], row.get("aliases", {})) if "choices" in row else kinds[row["type"]]
    return click.Option(names, type=kind, default=row.get("default"), multiple=row.get("multiple", False))


class _ServeByDefault(click.Group):
    """What is no command is the model of `serve`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See above."""
        if args and args[0] not in self.commands:
            return "serve", self.commands["serve"], args
        return super().resolve_command(ctx, args)


def parse(argv: Sequence[str]) -> SimpleNamespace:
    """Parse everything after `trtllm-serve`; leaves with status 2 as click does."""
    seen: dict[str, Any] = {}
    params: list[click.Parameter] = [click.Argument(["model"], type=str), *map(_option, table()["options"])]
    serve = click.Command("serve", params=params, callback=lambda **found: seen.update(found))
    _run(_ServeByDefault("trtllm-serve", commands={"serve": serve}), argv)
    args = SimpleNamespace(**seen)
    args.extra = _extra(args.extra_llm_api_options)
    for name, value in args.extra.items():  # in the 1.2 line the file wins over the command line
        setattr(args, name, value)
    return args


def _run(group: click.Group, argv: Sequence[str]) -> None:
    try:
        group.main(list(argv), "trtllm-serve", standalone_mode=False)
    except click.ClickException as refused:
        refused.show()
        raise SystemExit(refused.exit_code) from None


def _extra(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        found = yaml.safe_load(Path(path).read_text()) or {}
    except OSError as missing:
        raise Refused(f"[Errno {missing.errno}] {missing.strerror}: '{path}'", "FileNotFoundError") from missing
    keys = table()["yaml_keys"]
    for section, known in keys.items():
        given = found if not section else found.get(section) or {}
        for name in given if isinstance(given, dict) else ():
            if name not in known:
                place = f"{section}.{name}" if section else name
                raise out_of_bounds("TorchLlmArgs", place, "Extra inputs are not permitted")
    return dict(found)
