"""How a start that must not succeed ends: the real program's exit status and the real program's words."""

import sys
from dataclasses import dataclass
from typing import NoReturn


@dataclass(frozen=True, slots=True)
class Refused(Exception):  # noqa: N818 - it is an outcome, named as one
    """A configuration the real engine would not start with. `error` names its exception, `owner` pydantic's class."""

    message: str
    error: str = "ValueError"
    owner: str = ""

    def __str__(self) -> str:
        """As the last lines of the real traceback."""
        if self.owner:
            return (
                f"pydantic_core._pydantic_core.ValidationError: 1 validation error for {self.owner}\n  {self.message}"
            )
        return f"{self.error}: {self.message}"


def invalid(owner: str, message: str) -> Refused:
    """A rule of one of the engine's configuration classes is broken."""
    return Refused(f"Value error, {message}", "ValidationError", owner)


def out_of_bounds(owner: str, field: str, message: str) -> Refused:
    """A number lies outside its limits."""
    return Refused(f"{field}\n  {message}", "ValidationError", owner)


def end(refused: Refused) -> NoReturn:
    """Leave as an uncaught exception does: traceback on standard error, status 1."""
    sys.stderr.write(f"Traceback (most recent call last):\n  ...\n{refused}\n")
    sys.stderr.flush()
    raise SystemExit(1)
