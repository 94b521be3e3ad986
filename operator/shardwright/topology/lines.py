"""Terminal output as people paste it becomes clean numbered lines. Knows no vendor."""

import re
from dataclasses import dataclass

_ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9]|[@-Z\\-_])")
_CARET_ANSI = re.compile(r"\^\[\[[0-9;]*m|\[[0-9;]{1,5}m")
_PREFIX = re.compile(r"^\s*(?://|#|>|\*|--)+(?=\s)")
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line without colours and comment marks; tabs and inner blanks are kept."""

    number: int
    """From 1."""
    text: str


def clean_lines(text: str) -> list[Line]:
    """Split text into lines without colours, carriage returns, byte order marks and marks of quotes or comments."""
    plain = _CARET_ANSI.sub("", _ANSI.sub("", text[:_LARGEST].replace("\ufeff", "")))
    plain = plain.replace("\r\n", "\n").replace("\r", "\n").replace("\\t", "\t").replace("\u00a0", " ")
    return [Line(number, _bare(line)) for number, line in enumerate(plain.split("\n"), start=1)]


def _bare(line: str) -> str:
    """Drop a quote or comment mark, and the bars of a table in Markdown."""
    line = _PREFIX.sub("", line)
    return line.replace("|", " ").replace("`", " ") if line.count("|") > 2 else line
