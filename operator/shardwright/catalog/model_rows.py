"""The bundled facts about models and engines, read from the package's own data. Decides nothing; knows no planning."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

Row = Mapping[str, Any]


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
    rows: Mapping[str, Row] = yaml.safe_load(text)["families"]
    return rows


@cache
def bundled_configs() -> Mapping[str, Row]:
    """Model id -> {config, source, …}: the numbers of its published config.json."""
    text = files("shardwright.catalog").joinpath("models", "configs.json").read_text("utf-8")
    rows: Mapping[str, Row] = json.loads(text)
    return rows


@cache
def engine_facts(engine: str) -> Row:
    """How one engine accounts for memory, by version; see the file's own comments."""
    text = files("shardwright.catalog").joinpath("engines", f"{engine}.yaml").read_text("utf-8")
    facts: Row = yaml.safe_load(text)
    return facts
