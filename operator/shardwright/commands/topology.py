"""`shardwright topology`: read islands from a tool's output. Knows files and how to print; topology decides."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from shardwright.topology import Topology, UnreadableTopologyError, read_topology


class Output(StrEnum):
    """How to print."""

    TABLE = "table"
    JSON = "json"


def command(
    file: Annotated[
        Path, typer.Argument(help="Output of nvidia-smi topo -m, rocm-smi --showtopo or amd-smi topology; - = stdin.")
    ],
    output: Annotated[Output, typer.Option("--output", "-o", help="How to print.")] = Output.TABLE,
) -> None:
    """Read islands and links from nvidia-smi, rocm-smi or amd-smi output."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_bytes().decode("utf-8", "replace")
        found = read_topology(text)
    except OSError as error:
        typer.echo(f"{file}: {error.strerror or error}", err=True)
        raise typer.Exit(2) from None
    except UnreadableTopologyError as error:
        typer.echo(f"{file}: {error}", err=True)
        raise typer.Exit(1) from None
    for warning in found.warnings:
        typer.echo(f"{file}: {warning}", err=True)
    typer.echo(_as_json(found) if output is Output.JSON else _as_table(found))


def _as_json(found: Topology) -> str:
    return json.dumps(
        {"gpus": found.gpus, "link": found.link.value, "islands": found.islands, "warnings": found.warnings}
    )


def _as_table(found: Topology) -> str:
    islands = "\n".join(f"  island {at}: GPU {', '.join(map(str, island))}" for at, island in enumerate(found.islands))
    return f"{found.gpus} GPUs, best link {found.link.value}\n{islands}"
