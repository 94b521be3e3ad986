"""`shardwright inspect-model`.

What planning knows of a model, from its config.json or by its id in the bundled catalogue.
"""

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
from shardwright.models.errors import UnreadableModel
from shardwright.models.profile import Cache, ModelProfile

SUMMARY = (
    "architecture", "model_type", "num_layers", "hidden_size", "num_attention_heads", "num_kv_heads", "head_dim",
    "value_head_dim", "intermediate_size", "num_experts", "experts_per_token", "expert_intermediate_size",
    "shared_expert_intermediate_size", "vocab_size", "max_context_length", "dtype", "quantization", "kv_cache_dtype",
    "tied_embeddings", "is_latent_attention", "has_state", "is_multimodal", "vision_heads", "parameters",
    "active_parameters", )  # fmt: skip


class Form(StrEnum):
    """How to print."""

    TABLE = "table"
    JSON = "json"


def command(
    path: Annotated[
        str, typer.Argument(help="A config.json, a folder that holds one, or an id of the bundled catalogue.")
    ],
    quantization: Annotated[
        str, typer.Option(help="Show it as it would run in this; default: what the checkpoint is.")
    ] = "",
    output: Annotated[Form, typer.Option("--output", "-o", help="table to read, json for programs.")] = Form.TABLE,
) -> None:
    """Print what planning knows of a model, and what it had to assume."""
    if not path:
        typer.echo("inspect-model: give a config.json, a folder that holds one, or an id of the catalogue", err=True)
        raise typer.Exit(2)
    config = config_path(path)
    name = Path(path).resolve().name if config else path
    try:
        profile = read_profile({"config": config, "model_id": name, "quantization": quantization or None})
    except (UnreadableModel, UnusableRequest) as error:
        typer.echo(f"inspect-model: {error}", err=True)
        raise typer.Exit(1) from None
    if output is Form.JSON:
        typer.echo(orjson.dumps(as_document(profile), option=orjson.OPT_INDENT_2))
    else:
        print_tables(profile)


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
