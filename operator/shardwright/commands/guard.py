"""The last resort around a command on a laptop: whatever happens ends in one sentence and a status that is not 0.

The operator itself is not run in here: its log wants the whole traceback.
"""

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

_TROUBLE = 1


def guarded(application: Callable[[], object]) -> None:
    """Run a command. A terminal that lacks a letter gets `?` for it; a closed standard input reads as an empty one."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115  # for as long as the process lives
    try:
        _flushed(application)
    except BrokenPipeError:
        _end("")
    except OSError as error:
        _end(f"error: {error.filename or 'the output'}: {error.strerror or error}")
    except Exception as error:  # a bug of ours must not spill a screen of code
        where = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        _end(f"error: a bug in Shardwright, please report it with what you typed: {what}")


def _flushed(application: Callable[[], object]) -> None:
    """Write everything out while a failure can still be told."""
    try:
        application()
    finally:
        if sys.stdout is not None:
            sys.stdout.flush()


def _end(sentence: str) -> None:
    """Leave without another attempt at what could not be written."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if sentence:
        sys.stderr.write(f"{sentence}\n")
    sys.exit(_TROUBLE)
