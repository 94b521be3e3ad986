"""What is wrong with one field of a spec, as a value. Knows neither how it was found nor who is told."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from shardwright.api.reasons import Reason

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, order=True)
class FieldProblem:
    """One field, one reason word, and a sentence that says what to do about it."""

    field: str
    """Path as in the manifest: `spec.engine.env[0].name`, `spec.placement.nodeSelector["a.b/c"]`."""
    reason: Reason
    message: str

    def __str__(self) -> str:
        """As users read it in a condition."""
        return f"{self.field}: {self.message}"


def path_of(parts: Sequence[str | int]) -> str:
    """Write a path as the API server does: list indexes in brackets; keys with dots or spaces are quoted."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text
