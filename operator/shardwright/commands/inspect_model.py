"""`shardwright inspect-model`.

What planning knows of a model, from its files, by its id in the bundled catalogue, or from a hub.
"""

import asyncio
import os
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from shardwright.commands.estimate import config_path
from shardwright.commands.estimate_requests import UnusableRequest, read_profile
from shardwright.fetch.folder import read_files, read_folder
from shardwright.fetch.http import HubReader, open_session
from shardwright.fetch.model import DEFAULT_REVISION, HubModel, fetch_model
from shardwright.fetch.problem import FetchProblem
from shardwright.fetch.report import pack, pack_problem
from shardwright.models.bundled import bundled_name
from shardwright.models.checkpoint import with_checkpoint
from shardwright.models.errors import UnreadableModel
from shardwright.models.files import profile_from_files
from shardwright.models.profile import Cache, ModelProfile
from shardwright.settings import SettingsError, from_environment

TERMINATION_LOG = Path("/dev/termination-log")
SUMMARY = (
    "architecture", "model_type", "num_layers", "hidden_size", "num_attention_heads", "num_kv_heads", "head_dim",
    "value_head_dim", "intermediate_size", "num_experts", "experts_per_token", "expert_intermediate_size",
    "shared_expert_intermediate_size", "vocab_size", "max_context_length", "dtype", "quantization", "kv_cache_dtype",
    "tied_embeddings", "is_latent_attention", "has_state", "is_multimodal", "vision_heads", "parameters",
    "active_parameters",
    "checkpoint_bytes", )  # fmt: skip


class Form(StrEnum):
    """How to print."""

    TABLE = "table"
    JSON = "json"


def command(  # each is an option of the command line
    path: Annotated[
        str, typer.Argument(help="A config.json, a folder that holds one, an id of the catalogue, or of the Hub.")
    ],
    quantization: Annotated[
        str, typer.Option(help="Show it as it would run in this; default: what the checkpoint is.")
    ] = "",
    hub: Annotated[
        bool, typer.Option("--hub", help="Ask the Hub, with the token in HF_TOKEN if there is one.")
    ] = False,
    endpoint: Annotated[str, typer.Option(help="With --hub: of a mirror; default: SHARDWRIGHT_HUB, the Hub.")] = "",
    revision: Annotated[str, typer.Option(help="With --hub: branch, tag or commit.")] = DEFAULT_REVISION,
    report: Annotated[bool, typer.Option("--report", hidden=True)] = False,
    output: Annotated[Form, typer.Option("--output", "-o", help="table to read, json for programs.")] = Form.TABLE,
) -> None:
    """Print what planning knows of a model, and what it had to assume."""
    if not path:
        typer.echo("inspect-model: give a config.json, a folder that holds one, or an id of the catalogue", err=True)
        raise typer.Exit(2)
    if report:
        leave_behind(Path(path))
        return
    try:
        profile = (
            from_hub(path, revision, endpoint, quantization or None) if hub else from_here(path, quantization or None)
        )
    except (UnreadableModel, UnusableRequest, FetchProblem, SettingsError) as error:
        typer.echo(f"inspect-model: {error}", err=True)
        raise typer.Exit(1) from None
    if output is Form.JSON:
        typer.echo(orjson.dumps(as_document(profile), option=orjson.OPT_INDENT_2))
    else:
        print_tables(profile)


def leave_behind(folder: Path) -> None:
    """Write what a folder holds where Kubernetes looks for a container's last message; elsewhere, to the output."""
    try:
        text = pack(read_files(folder))
    except FetchProblem as problem:
        text = pack_problem(problem.message)
    if TERMINATION_LOG.exists():
        TERMINATION_LOG.write_text(text, "ascii")
    else:
        typer.echo(text)


def from_here(path: str, quantization: str | None) -> ModelProfile:
    """The model of a path or an id. Raises `UnreadableModel`, `UnusableRequest`, or `FetchProblem` for bad weights."""
    config = config_path(path)
    if config is None and bundled_name(path) is None:
        raise UnusableRequest(f"{path} is neither a file here nor in the catalogue: add --hub to ask the Hub for it")
    name = Path(path).resolve().name if config else path
    profile = read_profile({"config": config, "model_id": name, "quantization": quantization})
    checkpoint = read_folder(Path(config).parent) if config else None
    if checkpoint is None:
        return profile
    own = read_profile({"config": config, "model_id": name, "quantization": None})
    return with_checkpoint(profile, own, checkpoint)


def from_hub(model_id: str, revision: str, endpoint: str, quantization: str | None) -> ModelProfile:
    """The model as a hub has it. Raises `UnreadableModel`, `UnusableRequest`, `FetchProblem` or `SettingsError`."""
    settings = from_environment(os.environ)
    address = endpoint or settings.hub
    if not address:
        raise UnusableRequest("no hub may be asked: SHARDWRIGHT_HUB is off; give --endpoint")
    model = HubModel(address, model_id, revision)
    files = asyncio.run(ask(model, os.environ.get("HF_TOKEN", ""), settings.hub_timeout_seconds))
    return profile_from_files(files, model_id, quantization)


async def ask(model: HubModel, token: str, seconds: float) -> dict[str, str]:
    """A model's files. Raises `FetchProblem`."""
    async with open_session(loopback=True) as session:
        return await fetch_model(HubReader(session, token, loopback=True), model, seconds)


def as_document(profile: ModelProfile) -> dict[str, Any]:
    """The profile as plain data: its summary, its parameters by part, its distinct layers."""
    return {
        "id": profile.id,
        **{name: getattr(profile, name) for name in SUMMARY},
        "parameters_by_part": by_part(profile),
        "layers": [
            {"count": count, "caches": [cache_words(c) for c in layer.caches], "parameters": layer.parameters}
            for layer, count in Counter(profile.layers).items()
        ],
        "weight_formats": [stored.name for stored in profile.weight_formats],
        "assumptions": list(profile.assumptions),
    }


def by_part(profile: ModelProfile) -> dict[str, int]:
    """Parameters by what they belong to."""
    parts: Counter[str] = Counter()
    for matrix in (*profile.embedding, *profile.head, *profile.vision, *profile.iter_matrices()):
        parts[str(matrix.part)] += matrix.elements
    parts.pop("absorbed", None)
    if profile.draft_layers:
        parts["draft (loaded for speculation only)"] = sum(layer.parameters for layer in profile.draft_layers)
    return dict(parts.most_common())


def cache_words(cache: Cache) -> str:
    """A cache in words."""
    if cache.state:
        return f"state of {sum(piece.elements for piece in cache.state):,} elements a request"
    words = f"{cache.kind}: {cache.kv_heads} x ({cache.key_dim} + {cache.value_dim}) a token"
    if cache.window:
        words += f", window {cache.window:,}"
    return words + (f", one per {cache.tokens_per_state} tokens" if cache.tokens_per_state > 1 else "")


def print_tables(profile: ModelProfile) -> None:
    """The same for people."""
    console = Console()
    facts = Table(title=profile.id, show_header=False)
    for name in SUMMARY:
        value = getattr(profile, name)
        if value not in (0, None, False, ""):
            facts.add_row(
                name.replace("_", " "), f"{value:,}" if isinstance(value, int) and value is not True else str(value)
            )
    console.print(facts)
    layers = Table("layers", "parameters each", "caches")
    for layer, count in Counter(profile.layers).items():
        layers.add_row(str(count), f"{layer.parameters:,}", "\n".join(map(cache_words, layer.caches)) or "none")
    console.print(layers)
    parts = Table("part", "parameters")
    for part, count in by_part(profile).items():
        parts.add_row(part, f"{count:,}")
    console.print(parts)
    for sentence in profile.assumptions:
        console.print(f"assumed: {sentence}", style="dim")
