"""Ask the real vLLM for its option table and its verdicts; run by the Python that has vLLM, on a machine that needs no GPU.

    VLLM_TARGET_DEVICE=cpu python export_vllm_options.py --table fake_engine/data/vllm-0.32.0.json
    VLLM_TARGET_DEVICE=cpu python export_vllm_options.py --cases CASES.txt --models FOLDER --verdicts VERDICTS.json

The table is read off the parser that `vllm serve` builds. A verdict is what the real program does with one command line, up
to the moment when it would load weights: its exit status and the line it says. A case is `model gpus arguments…`; `model`
names a folder with a `config.json` below FOLDER. vLLM for CPUs never counts GPUs, so the platform is shown as CUDA with the
case's number of devices, but only to the module that compares them with the layout.
"""

import argparse
import contextlib
import dataclasses
import io
import json
import os
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import vllm
import vllm.config
import vllm.config.parallel
from pydantic.fields import FieldInfo
from vllm.entrypoints.cli import serve
from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS
from vllm.utils.argparse_utils import FlexibleArgumentParser

Json = dict[str, Any]
BOUNDS = ("ge", "gt", "le", "lt")


def parser() -> FlexibleArgumentParser:
    """The parser of `vllm`, with `serve` as its only command."""
    top = FlexibleArgumentParser(description="vLLM CLI", prog="vllm")
    command = serve.ServeSubcommand()
    command.subparser_init(top.add_subparsers(required=False, dest="subparser")).set_defaults(
        dispatch_function=command.cmd
    )
    return top


def serve_actions(top: FlexibleArgumentParser) -> list[argparse.Action]:
    """Every argument of `vllm serve`."""
    commands = next(action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    return commands.choices["serve"]._actions


def cells(function: Callable[..., Any]) -> list[Any]:
    """What a closure closes over."""
    return [cell.cell_contents for cell in function.__closure__ or ()]


def type_name(kind: Any) -> str:
    """Name a converter so that the fake can say it again; `optional:` and `parse:` are vLLM's wrappers."""
    if kind is None:
        return "str"
    name = getattr(kind, "__qualname__", "")
    if "_optional_type" in name:
        return "optional:" + type_name(cells(kind)[0])
    if "_parse_type" in name:
        return "parse:" + type_name(cells(kind)[0])
    if "parse_dataclass" in name:
        return "dataclass:" + kind.__defaults__[0].__name__
    if "<lambda>" in name:
        return "device-ids" if kind("1,2") == [1, 2] else "lower"
    known = {
        "loads": "json",
        "human_readable_int": "size",
        "human_readable_int_or_auto": "size-or-auto",
        "union_dict_and_str": "json-or-str",
        "int": "int",
        "float": "float",
        "str": "str",
    }
    return known[name]


def plain(value: Any) -> Any:
    """A default as JSON, or None where it is an object."""
    return value if value is None or isinstance(value, bool | int | float | str) else None


def describe(action: argparse.Action) -> Json | None:
    """One row of the table."""
    if isinstance(action, argparse._HelpAction):
        return None
    kinds = {
        "BooleanOptionalAction": "boolean",
        "_StoreTrueAction": "flag",
        "_AppendAction": "append",
        "LoRAParserAction": "lora",
    }
    row: Json = {
        "names": action.option_strings,
        "dest": action.dest,
        "kind": kinds.get(type(action).__name__, "value"),
        "default": plain(action.default),
    }
    if action.default == argparse.SUPPRESS:
        row["default"] = None
    if row["kind"] in {"value", "append", "lora"}:
        row["type"] = type_name(action.type)
    if action.nargs not in {None, 0}:
        row["nargs"] = action.nargs
    if action.const is not None and row["kind"] == "value":
        row["const"] = action.const
    if action.choices:
        row["choices"] = list(action.choices)
    return row


def config_classes() -> dict[str, type]:
    """VLLM's configuration classes by name."""
    return {
        name: item
        for name, item in vars(vllm.config).items()
        if isinstance(item, type) and dataclasses.is_dataclass(item)
    }


def bounds(rows: list[Json]) -> Json:
    """Limits that vLLM puts on numbers after parsing, `dest` -> [class, limits]; the classes keep the option's name."""
    wanted = {row["dest"] for row in rows}
    found: Json = {}
    for name, owner in sorted(config_classes().items()):
        fields: dict[str, FieldInfo] = getattr(owner, "__pydantic_fields__", {})
        for field, info in fields.items():
            limits = {bound: getattr(meta, bound) for meta in info.metadata for bound in BOUNDS if hasattr(meta, bound)}
            if limits and field in wanted and field not in found:
                found[field] = [name, limits]
    return found


def dataclass_fields(rows: list[Json], actions: list[argparse.Action]) -> Json:
    """Keys that each JSON option takes, by the class that reads it."""
    found: Json = {}
    for row, action in zip(rows, actions, strict=True):
        if "dataclass:" not in row.get("type", ""):
            continue
        kind: Any = action.type
        while not getattr(kind, "__defaults__", None):
            kind = cells(kind)[0]
        owner = kind.__defaults__[0]
        found[owner.__name__] = sorted(field.name for field in dataclasses.fields(owner) if field.init)
    return found


def table() -> Json:
    """The whole option table."""
    actions = [action for action in serve_actions(parser()) if not isinstance(action, argparse._HelpAction)]
    rows = [row for row in map(describe, actions) if row]
    return {
        "engine": "vllm",
        "version": vllm.__version__.split("+")[0],
        "source": "vllm.entrypoints.cli.serve, read from the running parser",
        "options": rows,
        "quantization_methods": QUANTIZATION_METHODS,
        "bounds": bounds(rows),
        "json_keys": dataclass_fields(rows, actions),
    }


class _Accepted(BaseException):
    """Raised where the real program would begin to load."""


class _CudaWith:
    """The current platform, shown as CUDA with a given number of devices."""

    def __init__(self, real: Any, devices: int) -> None:
        self._real, self._devices = real, devices

    def is_cuda(self) -> bool:
        return True

    def is_cuda_alike(self) -> bool:
        return True

    def device_count(self) -> int:
        return self._devices

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def stop_before_loading() -> None:
    """Replace what starts servers and workers by what only builds the configuration."""

    def configure(args: argparse.Namespace) -> None:
        vllm.AsyncEngineArgs.from_cli_args(args).create_engine_config(headless=False)
        raise _Accepted

    async def configure_single(args: argparse.Namespace) -> None:
        configure(args)

    def accept(*_: Any, **__: Any) -> None:
        raise _Accepted

    serve.run_server, serve.run_multi_api_server, serve.run_dp_supervisor = configure_single, configure, accept
    serve.MultiprocExecutor = serve.CoreEngineProcManager = accept


def verdict(argv: list[str], gpus: int) -> Json:
    """What the real program does with `vllm serve …`."""
    real = vllm.config.parallel.current_platform
    vllm.config.parallel.current_platform = _CudaWith(real, gpus)
    heard = io.StringIO()
    try:
        with contextlib.redirect_stderr(heard):
            args = parser().parse_args(argv)
            serve.ServeSubcommand().validate(args)
            args.dispatch_function(args)
    except _Accepted:
        return {"exit": 0}
    except SystemExit as ended:
        return {"exit": ended.code, "says": heard.getvalue().strip().splitlines()[-1]}
    except Exception as refused:
        return {"exit": 1, "error": type(refused).__name__, "says": gist(str(refused))}
    finally:
        vllm.config.parallel.current_platform = real
    return {"exit": 0}


def gist(message: str) -> str:
    """The sentence inside pydantic's frame."""
    framed = re.search(r"Value error, (.*?) \[type=", message, re.DOTALL)
    if framed:
        return framed.group(1)
    limit = re.search(r"validation errors? for (\w+)\n(\w+)\n\s+(.*?) \[type=", message)
    return f"{limit.group(2)}: {limit.group(3)}" if limit else message.splitlines()[0]


def verdicts(cases: Path, models: Path) -> list[Json]:
    """One verdict for each line of the case file."""
    stop_before_loading()
    answers = []
    for line in cases.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        model, gpus, *arguments = shlex.split(line)
        argv = ["serve", *([str(models / model)] if model != "-" else []), *arguments]
        answers.append({"case": line, **verdict(argv, int(gpus))})
        answers[-1].update(
            {
                key: re.sub(r" at 0x[0-9a-f]+", "", value.replace(f"{models}/", ""))
                for key, value in answers[-1].items()
                if key == "says"
            }
        )
    return answers


def main() -> None:
    """Write what was asked for."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--table", type=Path)
    options.add_argument("--cases", type=Path)
    options.add_argument("--models", type=Path)
    options.add_argument("--verdicts", type=Path)
    asked = options.parse_args()
    sys.argv = ["vllm", "serve"]
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if asked.table:
        found = table()
        head = {
            key: found[key] for key in ("engine", "version", "source", "quantization_methods", "bounds", "json_keys")
        }
        rows = ",\n".join(json.dumps(row) for row in found["options"])
        asked.table.write_text(json.dumps(head)[:-1] + ',\n "options": [\n' + rows + "\n]}\n")
    if asked.verdicts:
        rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in verdicts(asked.cases, asked.models.resolve()))
        asked.verdicts.write_text("[\n" + rows + "\n]\n")


if __name__ == "__main__":
    main()
