"""Write vLLM's own option table as data: run with the Python of an environment that has vLLM, once for each release.

    python scripts/export_vllm_options.py > operator/shardwright/catalog/engines/vllm-options-<version>.json

The table is what the operator renders `engine.args` by and what it refuses unknown options with. It comes from vLLM's
parser itself, so that no option name or type is typed by hand.
"""

import argparse
import json
import sys
from typing import Any

from vllm import __version__
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser

TYPES = {
    "int": "integer",
    "float": "number",
    "human_readable_int": "tokens",
    "human_readable_int_or_auto": "tokens-or-auto",
    "loads": "json",
    "parse_dataclass": "json",
    "union_dict_and_str": "json-or-text",
}


def takes(action: argparse.Action) -> str:
    """How the option is written: `--x`/`--no-x`, `--x`, `--x VALUE`, `--x [VALUE]` or `--x VALUE …`."""
    if isinstance(action, argparse.BooleanOptionalAction):
        return "switch"
    if action.nargs == 0:
        return "flag"
    if isinstance(action, argparse._AppendAction) or action.nargs in ("+", "*"):
        return "list"
    return "optional-value" if action.nargs == "?" else "value"


def type_name(convert: object) -> str:
    """One of our six words for what a value must look like; vLLM wraps converters in closures, so look inside."""
    name = getattr(convert, "__name__", "")
    if name in TYPES:
        return TYPES[name]
    for cell in getattr(convert, "__closure__", None) or ():
        if callable(cell.cell_contents) and cell.cell_contents is not convert:
            return type_name(cell.cell_contents)
    return "text"


def row(action: argparse.Action) -> dict[str, Any]:
    """One option: its other spellings, how it is written, its type and its choices."""
    spellings = [s for s in action.option_strings if not s.startswith("--no-")]
    result: dict[str, Any] = {"takes": takes(action)}
    if result["takes"] not in ("switch", "flag"):
        result["type"] = type_name(action.type)
    if len(spellings) > 1:
        result["aliases"] = [s.lstrip("-") for s in spellings[1:]]
    if action.choices:
        result["choices"] = sorted(str(choice) for choice in action.choices)
    return result


def main() -> None:
    """Print the table, one option a line, sorted."""
    parser = make_arg_parser(FlexibleArgumentParser(prog="vllm serve"))
    options = {}
    for action in parser._actions:
        if action.option_strings and not isinstance(action, argparse._HelpAction):
            long = next(s for s in action.option_strings if s.startswith("--") and not s.startswith("--no-"))
            options[long.removeprefix("--")] = row(action)
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(options[name])}" for name in sorted(options))
    source = f"make_arg_parser of vllm {__version__}, by scripts/export_vllm_options.py"
    sys.stdout.write(f'{{"version": "{__version__}",\n "source": "{source}",\n "options": {{\n{lines}\n}}}}\n')


if __name__ == "__main__":
    main()
