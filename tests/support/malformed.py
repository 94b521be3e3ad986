"""The manifests that must not be accepted, each with what must be said of it in the comments on its first lines."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[1] / "data" / "malformed"


@dataclass(frozen=True)
class Malformed:
    name: str
    path: Path
    field: str
    """Path of the field that the refusal must name; empty where none is to blame."""
    condition: str
    """`Type=Status Reason` for one that passes the schema; empty for one refused at apply."""

    @property
    def manifest(self) -> dict[str, Any]:
        return yaml.safe_load(self.path.read_text())


def refused() -> list[Malformed]:
    """Those that the API server refuses by schema or rule."""
    return _read("refused")


def become_conditions() -> list[Malformed]:
    """Those that the schema lets through and the operator answers with a condition."""
    return _read("conditions")


def _read(folder: str) -> list[Malformed]:
    return [_one(path) for path in sorted((FOLDER / folder).glob("*.yaml"))]


def _one(path: Path) -> Malformed:
    heads = [line[2:].split(": ", 1) for line in path.read_text().splitlines() if line.startswith("# ")]
    words = dict(heads)
    return Malformed(path.stem, path, words.get("field", ""), words.get("condition", ""))
