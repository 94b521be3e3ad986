"""The engines' command lines as data: which options a version has, how each is written, which are not the user's.

Knows the tables beside it and nothing of deployments. Decides only which row of a table a version takes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from shardwright.api.spec import EngineName


@dataclass(frozen=True, slots=True)
class Option:
    """One option of an engine's command line."""

    name: str
    """Its longest spelling, without dashes in front."""
    takes: str
    """`switch`: --x or --no-x; `flag`: --x or nothing; `value`, `optional-value`, `list`."""
    type: str = "text"
    """`integer`, `number`, `tokens`, `tokens-or-auto`, `json`, `json-or-text` or `text`."""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What one version of an engine accepts."""

    engine: EngineName
    version: str
    options: Mapping[str, Option]
    """By every spelling, with dashes inside where the engine has underscores."""
    refused: Mapping[str, str]
    """Option name -> what the user is to use."""
    images: Mapping[str, str]
    """Public image by GPU vendor, with the version put in."""
    quantization: Mapping[str, Any]
    """Words of spec.model.quantization; empty where the engine takes none."""
    yaml_keys: frozenset[str] = frozenset()
    """Keys that go to a file and not to the command line."""
    assumption: str = ""
    """Said to the user when the version is not one that was read."""


def default_version(engine: EngineName) -> str:
    """Give the version that is used when the spec names none."""
    return str(_document(engine)["default_version"])


@cache
def engine_options(engine: EngineName, version: str) -> EngineOptions:
    """Give the row for a version. A version that was never read takes the nearest row and says so in `assumption`."""
    document = _document(engine)
    row, assumption = _row(document, version)
    table = _table(row["table"]) if "table" in row else document["options"]
    options = {}
    for name, fields in table.items():
        option = Option(name, fields["takes"], fields.get("type", "text"), tuple(fields.get("choices", ())))
        for spelling in (name, *fields.get("aliases", ())):
            options[spelling.replace("_", "-")] = option
    return EngineOptions(
        engine=engine,
        version=version,
        options=options,
        refused={name: use for use, names in document["refused"].items() for name in names},
        images={vendor: image.format(version=version) for vendor, image in document["images"].items()},
        quantization=document.get("quantization", {}),
        yaml_keys=frozenset(document.get("llm_args", ())),
        assumption=assumption,
    )


def _row(document: Mapping[str, Any], version: str) -> tuple[Mapping[str, Any], str]:
    rows = document["versions"]
    asked = _numbers(version)
    row = next((row for row in rows if asked[:2] >= _numbers(row["from"])[:2]), rows[-1])
    if _numbers(row["from"])[:2] <= asked[:2] <= _numbers(row["checked_up_to"])[:2]:
        return row, ""
    known = f"{row['from']} to {row['checked_up_to']}" if row["from"] != row["checked_up_to"] else row["from"]
    return row, f"{document['engine']} {version} is taken to accept the options of {known}, the nearest that were read"


def _numbers(version: str) -> tuple[int, ...]:
    parts = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        parts.append(int(digits))
    return tuple(parts)


@cache
def _document(engine: EngineName) -> Mapping[str, Any]:
    text = files("shardwright.catalog").joinpath("engines", f"{engine.value}-options.yaml").read_text("utf-8")
    document: Mapping[str, Any] = yaml.safe_load(text)
    return document


@cache
def _table(name: str) -> Mapping[str, Any]:
    text = files("shardwright.catalog").joinpath("engines", name).read_text("utf-8")
    options: Mapping[str, Any] = json.loads(text)["options"]
    return options
