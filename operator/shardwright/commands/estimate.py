"""`shardwright estimate`: the memory of one layout on one GPU product, or of a file of such questions."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from shardwright.commands.estimate_requests import MODEL_OPTIONS, answer
from shardwright.commands.estimate_table import print_table
from shardwright.plan.memory import EngineArguments


class Form(StrEnum):
    """How to print."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


def command(  # noqa: PLR0913, PLR0917  # one parameter per option is what typer reads
    model: Annotated[
        str, typer.Option(help="A config.json, a folder that holds one, or an id of the bundled catalogue.")
    ] = "",
    gpu: Annotated[str, typer.Option(help="GPU product, such as H100 or L40S.")] = "",
    tensor: Annotated[int, typer.Option(help="Tensor parallel size.", min=1)] = 1,
    pipeline: Annotated[int, typer.Option(help="Pipeline parallel size.", min=1)] = 1,
    data: Annotated[int, typer.Option(help="Data parallel size (mixture-of-experts models).", min=1)] = 1,
    expert: Annotated[bool, typer.Option("--expert/--no-expert", help="Spread whole experts over the GPUs.")] = False,
    nodes: Annotated[int, typer.Option(help="Nodes of one replica.", min=1)] = 1,
    quantization: Annotated[str, typer.Option(help="Run the weights as this; default: what the checkpoint is.")] = "",
    gpu_memory_gb: Annotated[
        int, typer.Option(help="Memory as sold, where the product's name leaves it open.", min=0, max=9999)
    ] = 0,
    engine: Annotated[str, typer.Option(help="vllm or trtllm.")] = "vllm",
    engine_version: Annotated[
        str, typer.Option(help="Decides which accounting is used; default: the catalogue's.")
    ] = "",
    arg: Annotated[list[str] | None, typer.Option(help="An engine option, name=value; repeatable.")] = None,
    requests: Annotated[Path | None, typer.Option(help="A file of requests, one JSON object a line.")] = None,
    output: Annotated[Form, typer.Option("--output", "-o", help="table, json, or jsonl for a batch.")] = Form.TABLE,
) -> None:
    """Forecast weights, activations, KV memory, tokens and whether it fits."""
    if requests is not None:
        raise typer.Exit(batch(requests))
    if not model or not gpu:
        typer.echo("estimate: give --model and --gpu, or --requests FILE", err=True)
        raise typer.Exit(2)
    given = {
        "config": config_path(model),
        "model_id": model,
        "quantization": quantization or None,
        "config_match": "exact",
    }
    request = {
        "id": model,
        "model": given,
        "gpu": {"product": gpu, "marketing_gb": gpu_memory_gb or None},
        "layout": {"tensor": tensor, "pipeline": pipeline, "data": data, "expert": expert},
        "nodes": nodes,
        "engine": {"name": engine, "version": engine_version or None},
        "engine_args": options(arg or []),
    }
    for pair in without_effect(arg or []):
        typer.echo(f"estimate: --arg {pair} changes nothing here: unknown, not readable, or the default", err=True)
    result = answer(request)
    if "error" in result:
        typer.echo(f"estimate: {result['error']}", err=True)
        raise typer.Exit(1)
    if output is Form.TABLE:
        print_table(result, request)
    else:
        typer.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2 if output is Form.JSON else 0))
    raise typer.Exit(0 if result["fits"] else 3)


def config_path(model: str) -> str | None:
    """The config file that a word names, there or not in a folder; None when it is an id."""
    path = Path(model)
    if path.is_dir():
        return str(path / "config.json")
    return str(path) if path.is_file() else None


def options(pairs: list[str]) -> dict[str, str]:
    """name=value pairs; a bare name is a flag."""
    found = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        found[name.strip()] = value
    return found


def without_effect(pairs: list[str]) -> list[str]:
    """The options that the forecast would be the same without."""
    pairs = [pair for pair in pairs if pair.partition("=")[0].strip().lstrip("-") not in MODEL_OPTIONS]
    return [pair for pair in pairs if EngineArguments.from_options(options([pair]).items()) == EngineArguments()]


def batch(path: Path) -> int:
    """Answer each line of a file on standard output; the exit status is 2 when the file cannot be read."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        typer.echo(f"estimate: {path} cannot be read: {error.strerror}", err=True)
        return 2
    for line in lines:
        if line.strip():
            sys.stdout.buffer.write(orjson.dumps(answer_line(line), option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()
    return 0


def answer_line(line: bytes) -> dict[str, Any]:
    """The answer to one line, which may be damaged."""
    try:
        request = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return {"id": None, "error": f"not a JSON object: {error}"}
    if not isinstance(request, dict):
        return {"id": None, "error": "not a JSON object"}
    return answer(request)
