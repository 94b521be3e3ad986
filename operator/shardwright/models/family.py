"""One model_type's row of engine facts, with the rules for types that have none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shardwright.catalog.model_rows import families


@dataclass(frozen=True, slots=True)
class Family:
    """Read access to a row of families.yaml."""

    model_type: str
    row: Mapping[str, Any]
    known: bool

    def flag(self, key: str, default: bool = False) -> bool:
        """A yes or no of the row."""
        return bool(self.row.get(key, default))

    def number(self, key: str, default: int = 0) -> int:
        """A number of the row."""
        return int(self.row.get(key, default))

    def word(self, key: str, default: str = "") -> str:
        """A word of the row."""
        return str(self.row.get(key, default))


def family_of(model_type: str) -> Family:
    """The row of a model_type; an empty one where the catalogue has none."""
    rows = families()
    row = rows.get(model_type)
    if row is not None and "like" in row:
        row = rows.get(row["like"])
    return Family(model_type, row or {}, row is not None)
