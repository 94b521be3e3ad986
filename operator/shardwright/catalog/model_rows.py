"""The bundled facts about models and engines, read from the package's own data. Decides nothing; knows no planning."""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

Row = Mapping[str, Any]
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C where there is one: ten times as fast."""


@cache
def class_defaults() -> Mapping[str, Row]:
    """What the Hugging Face configuration class of each `model_type` assumes for keys that a config omits."""
    text = files("shardwright.catalog").joinpath("models", "class_defaults.json").read_text("utf-8")
    classes: Mapping[str, Row] = json.loads(text)["classes"]
    return classes


@cache
def families() -> Mapping[str, Row]:
    """How the engine builds the layers of each `model_type`: the facts that no config states."""
    text = files("shardwright.catalog").joinpath("models", "families.yaml").read_text("utf-8")
    rows: Mapping[str, Row] = yaml.load(text, Loader=LOADER)["families"]
    return rows


@cache
def bundled_configs() -> Mapping[str, Row]:
    """Model id -> {config, source, …}: the numbers of its published config.json."""
    text = files("shardwright.catalog").joinpath("models", "configs.json").read_text("utf-8")
    return {name: unfolded(row) for name, row in json.loads(text).items()}


def unfolded(value: Any, key: str = "") -> Any:  # any JSON
    """Undo the packing of scripts/pack_model_catalog.py: [pattern, numbers] becomes one name per layer."""
    if key == "quantized_layers" and isinstance(value, list):
        return {name: entry for entry, names in value for name in unfolded_names(names)}
    if isinstance(value, dict):
        return {name: unfolded(inner, name) for name, inner in value.items()}
    if isinstance(value, list) and any(is_folded(item) for item in value):
        return unfolded_names(value)
    return value


def is_folded(item: object) -> bool:
    """Whether an item is [pattern with a #, numbers]."""
    return isinstance(item, list) and len(item) == 2 and isinstance(item[0], str) and "#" in item[0]


def unfolded_names(items: Iterable[Any]) -> list[str]:
    """The names of a folded list."""
    names = []
    for item in items:
        if not is_folded(item):
            names.append(item)
            continue
        for span in item[1].split(","):
            first, _, last = span.partition("-")
            names += [item[0].replace("#", str(n)) for n in range(int(first), int(last or first) + 1)]
    return names


@cache
def engine_facts(engine: str) -> Row:
    """How one engine accounts for memory, by version; see the file's own comments."""
    text = files("shardwright.catalog").joinpath("engines", f"{engine}.yaml").read_text("utf-8")
    facts: Row = yaml.load(text, Loader=LOADER)
    return facts
