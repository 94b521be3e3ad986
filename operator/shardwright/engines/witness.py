"""The program around every engine that keeps its last words for kubelet (files/last_words.py). Decides nothing.

In a group the member around the engine uses it itself; the engine of a single pod is started by it.
"""

from dataclasses import replace
from functools import cache
from importlib.resources import files

from shardwright.engines.program import FILES_PATH, PodProgram

PYTHON = "python3"
FILE = "last_words.py"


def witnessed(program: PodProgram) -> PodProgram:
    """Give a program's pods the witness, and start it where the first process is not ours already."""
    command = program.command if program.command[0] == PYTHON else _watched(program.command)
    return replace(program, command=command, files=(*program.files, (FILE, _text())))


def _watched(command: tuple[str, ...]) -> tuple[str, ...]:
    return (PYTHON, f"{FILES_PATH}/{FILE}", "--", *command)


@cache
def _text() -> str:
    return files("shardwright.engines").joinpath("files", FILE).read_text("utf-8")
