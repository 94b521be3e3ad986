"""`shardwright plan`: what the operator would decide for a manifest on these nodes, and why. Changes nothing."""

import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shardwright.commands import silicon
from shardwright.commands.documents import Document, fail, find_deployment, find_profile, read_documents, read_inventory
from shardwright.plan import explain
from shardwright.plan.choose import choose, ranking
from shardwright.plan.picture import svg
from shardwright.plan.record import plan_record
from shardwright.plan.request import plan_request
from shardwright.plan.types import Plan, PlanRequest

_COMPARED = 12
"""Layouts to compare: the best of our ranking."""
NO_LAYOUT = 3
"""Exit status where the question was understood and nothing fits; 2 = the question was not understood."""
_FILE_WIDTH = 140
"""Columns where the output is no terminal."""


class Comparison(StrEnum):
    """A second opinion to show beside the ranking."""

    SILICON = "silicon"


class Form(StrEnum):
    """How to print."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def command(  # noqa: PLR0913, PLR0917  # one argument for each option
    file: Annotated[Path, typer.Option("--file", "-f", help="InferenceDeployment manifest; - reads standard input.")],
    nodes: Annotated[
        Path | None,
        typer.Option(help="Nodes and pods (kubectl get nodes,pods -A -o yaml). Default: the current kube context."),
    ] = None,
    expected: Annotated[
        Path | None,
        typer.Option(help="Nodes that an autoscaler may add: a file with expectedPools, such as the chart's values."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="The model's config.json, where the bundled catalogue does not have the model.")
    ] = None,
    output: Annotated[Form, typer.Option("--output", "-o", help="How to print.")] = Form.TABLE,
    picture: Annotated[Path | None, typer.Option(help="Write an SVG of memory and nodes here.")] = None,
    rejected: Annotated[int, typer.Option(help="Losing layouts to list in the table, nearest first.", min=0)] = 12,
    compare: Annotated[
        Comparison | None,
        typer.Option(help="Rank the best layouts by measured kernel times too (needs the extra shardwright[silicon])."),
    ] = None,
) -> None:
    """Plan an InferenceDeployment and say why. Exit status 0 = planned, 2 = bad input, 3 = nothing fits."""
    if compare and not silicon.is_installed():
        raise fail(silicon.ABSENT)
    documents = read_documents(file)
    name, spec = find_deployment(documents, file)
    request = plan_request(spec, find_profile(spec, documents, config))
    if not isinstance(request, PlanRequest):
        raise fail(f"{file} cannot be planned:\n" + "\n".join(f"  {problem}" for problem in request))
    inventory = read_inventory(read_documents(nodes) if nodes else _current_context(), nodes, expected)
    plan = choose(request, inventory)
    if picture:
        _write(picture, svg(plan, inventory, title=name))
    compared = silicon.compare(ranking(request, inventory)[:_COMPARED], request) if compare else []
    _print(name, plan, output, rejected, compared)
    if not plan.placements:
        raise typer.Exit(NO_LAYOUT)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise fail(f"{path} cannot be written: {error.strerror or error}") from error


def _current_context() -> list[Document]:
    """Nodes and pods of the cluster that kubectl would talk to; the client is loaded only when it is needed."""
    from shardwright.commands.live import read_cluster  # noqa: PLC0415

    return list(read_cluster())


def _print(name: str, plan: Plan, output: Form, rejected: int, compared: Sequence[silicon.Compared]) -> None:
    record = {"name": name, **plan_record(plan)}
    if compared:
        record["comparison"] = list(silicon.records(compared))
    if output is Form.JSON:
        typer.echo(json.dumps(record, indent=2, ensure_ascii=False))
    elif output is Form.YAML:
        typer.echo(yaml.safe_dump(record, sort_keys=False, allow_unicode=True), nl=False)
    else:
        _tables(name, plan, rejected)
        if compared:
            _comparison(compared)


def _tables(name: str, plan: Plan, rejected: int) -> None:
    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH)
    console.print(f"[bold]{name}[/bold]: {escape(plan.why)}", highlight=False, soft_wrap=True)
    if plan.nearest:
        console.print(escape(plan.nearest[:1].upper() + plan.nearest[1:]), highlight=False, soft_wrap=True)
    if plan.placements:
        console.print(_placements(plan))
    if plan.rejected and rejected:
        console.print(_rejected(plan, rejected))
    for title, lines in (
        ("Assumed", plan.assumptions),
        ("Left out", tuple(f"{node}: {why}" for node, why in plan.skipped_nodes)),
    ):
        if lines:
            console.print(f"\n[bold]{title}[/bold]", highlight=False)
            for line in lines:
                console.print(f"  · {line}", highlight=False, markup=False, soft_wrap=True)


def _placements(plan: Plan) -> Table:
    table = Table(title="Placements", box=SIMPLE_HEAD, title_justify="left", title_style="bold")
    for heading in ("pool", "layout", "replicas", "weights + KV", "holds each", "nodes"):
        table.add_column(heading, justify="right" if heading in ("replicas", "holds each") else "left")
    for p in plan.placements:
        weights = max((r.weights_bytes for r in p.memory.ranks), default=0)
        cache = min((r.kv_cache_bytes for r in p.memory.ranks), default=0)
        where = " ".join("+".join(nodes) for nodes in p.replica_nodes[:8]) + (" …" if len(p.replica_nodes) > 8 else "")
        table.add_row(
            p.pool, p.layout.text, f"{p.replicas} of {p.max_replicas}",
            f"{explain.gib(weights)} + {explain.gib(cache)}",
            f"{p.memory.max_concurrency:,} × {explain.tokens(p.memory.context_length)}", where,
        )  # fmt: skip
    return table


def _comparison(compared: Sequence[silicon.Compared]) -> None:
    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH)
    title = "\nOur ranking, and the one by measured kernel times (aiconfigurator)"
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", title_style="bold")
    headings = ("ours", "its", "pool", "layout", "tokens/s a GPU: ours", "its", "µs a token: ours", "its")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("pool", "layout") else "right")
    for row in silicon.records(compared):
        figures = ["ourTokensPerSecondPerGpu", "itsTokensPerSecondPerGpu"]
        figures += ["ourDecodeMicroseconds", "itsDecodeMicroseconds"]
        rank = str(row["itsRank"] or "-")
        shown = [f"{row[figure]:,}" if row["itsRank"] or figure.startswith("our") else "-" for figure in figures]
        table.add_row(str(row["ourRank"]), rank, row["pool"], row["layout"], *shown)
    console.print(table)
    for why in dict.fromkeys(each.price.why for each in compared if each.price.why):
        console.print(f"  · not priced: {why}", highlight=False, markup=False, soft_wrap=True)


def _rejected(plan: Plan, most: int) -> Table:
    title = f"Rejected, nearest first ({min(most, len(plan.rejected))} of {len(plan.rejected)})"
    table = Table(
        "pool",
        "layout",
        "why",
        title=title,
        box=SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
    )
    for lost in plan.rejected[:most]:
        table.add_row(lost.pool, lost.layout, f"{lost.reason}: {explain.need_and_have(lost)}")
    return table
