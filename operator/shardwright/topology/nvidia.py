"""The matrix of `nvidia-smi topo -m`, as it comes out of terminals, logs, containers and issue trackers.

Columns are never taken from alignment: copies lose tabs, fuse cells and cut rows. What is trusted is the order of the link
words in a row, the X on the diagonal and the symmetry of the matrix. Knows no island.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from shardwright.topology.lines import Line
from shardwright.topology.types import Closeness, Reading, Tier, UnreadableTopologyError

_WORDS = {
    "PIX": Closeness.SWITCH, "PXB": Closeness.SWITCH, "PHB": Closeness.NEAR, "NODE": Closeness.NEAR,
    "SYS": Closeness.FAR, "SOC": Closeness.FAR,
}  # fmt: skip
_CELL = re.compile(r"\s*(NV\d{1,3}|PIX|PXB|PHB|NODE|SYS|SOC|X(?=\s|$|NV\d|P[IXH][XB]|NODE|S[YO][SC]))")
_HEADER = re.compile(r"^\s*(?:GPU\s?\d+\s*)+(?=$|NIC|mlx|CPU|NUMA|\.\.\.|[a-z])")
_ROW = re.compile(r"^\s*GPU(\d+)(?=\s|X|NV)\s*(.*)$")
_NIC_ROW = re.compile(r"^\s*(NIC\d+|[a-z]\w*\d+)\s")
_MOST_GPUS = 1024


@dataclass(slots=True)
class _Row:
    line: Line
    cells: list[str]
    tail: str
    """What follows the link words: affinities."""


def find_header(lines: Sequence[Line]) -> int | None:
    """Where the matrix starts: a line of GPU names whose next row speaks in link words (a `-p2p` matrix speaks of OK)."""
    for at, line in enumerate(lines):
        if _ROW.match(line.text) and _cells(_ROW.match(line.text)[2])[0]:  # type: ignore[index]
            return at - 1
        if _HEADER.match(line.text) and len(re.findall(r"GPU\s?\d+", line.text)):
            row = next((_ROW.match(later.text) for later in lines[at + 1 :] if _ROW.match(later.text)), None)
            if row and _cells(row[2])[0]:
                return at
    return None


def read_matrix(lines: Sequence[Line], header_at: int) -> Reading:
    """Read the matrix below a header. Raises UnreadableTopologyError with the line that made no sense."""
    header = lines[header_at] if header_at >= 0 else Line(0, "")
    rows = _rows(lines[header_at + 1 :])
    names = [int(name) for name in re.findall(r"GPU\s?(\d+)", header.text)] or sorted(rows)
    gpus = tuple(names)
    if len(set(gpus)) != len(gpus) or len(gpus) > _MOST_GPUS:
        raise UnreadableTopologyError("the header names a GPU twice", header.number, header.text)
    strangers = set(rows) - set(gpus)
    if strangers:
        row = rows[min(strangers)]
        raise UnreadableTopologyError("a row for a GPU that the header does not name", row.line.number, row.line.text)
    words = _pairs(gpus, rows)
    return Reading(
        gpus=gpus,
        pairs={pair: _closeness(word) for pair, word in words.items()},
        numa={gpu: _numa(header.text, row) for gpu, row in rows.items()},
        fast=Tier.NVLINK,
        fast_links={pair: int(word[2:]) for pair, word in words.items() if word.startswith("NV")},
        nics=_nics(header.text, lines, gpus, rows),
        warnings=_warnings(gpus, rows, words),
    )


def _rows(lines: Sequence[Line]) -> dict[int, _Row]:
    """The GPU rows up to the end of the matrix. A line of link words without a row's name means that rows were broken up."""
    rows: dict[int, _Row] = {}
    for line in lines:
        found = _ROW.match(line.text)
        if found and _HEADER.match(line.text) and not _cells(found[2])[0]:
            break
        if not found:
            if rows and (not line.text.strip() or line.text.strip().startswith(("Legend", "NIC Legend"))):
                break
            if not _NIC_ROW.match(line.text) and re.match(r"\s*(NV\d+|PIX|PXB|PHB|NODE|SYS|SOC|X)\s", line.text):
                raise UnreadableTopologyError("link words without a row's name (broken rows?)", line.number, line.text)
            continue
        gpu = int(found[1])
        cells, tail = _cells(found[2])
        if gpu in rows:
            raise UnreadableTopologyError(f"a second row for GPU{gpu}", line.number, line.text)
        if re.search(r"GPU\d+\s", tail):
            raise UnreadableTopologyError("two rows in one line (broken rows?)", line.number, line.text)
        rows[gpu] = _Row(line, cells, tail)
    return rows


def _cells(body: str) -> tuple[list[str], str]:
    """The link words at the start of a row, fused ones split, and the rest of the row."""
    cells: list[str] = []
    at = 0
    while found := _CELL.match(body, at):
        cells.append(found[1])
        at = found.end()
    return cells, body[at:]


def _pairs(gpus: Sequence[int], rows: dict[int, _Row]) -> dict[tuple[int, int], str]:
    """Fill the matrix from its rows, by symmetry where the last row is cut; contradictions are refused."""
    words: dict[tuple[int, int], str] = {}
    last = max(rows, key=lambda gpu: rows[gpu].line.number, default=None)
    for gpu, row in rows.items():
        cut = len(row.cells) < len(gpus)
        if cut and gpu != last:
            raise UnreadableTopologyError(
                f"{len(row.cells)} link words where {len(gpus)} GPUs need as many", row.line.number, row.line.text
            )
        for other, word in zip(gpus, row.cells, strict=False):
            if (word == "X") != (other == gpu):
                raise UnreadableTopologyError(f"{word} between GPU{gpu} and GPU{other}", row.line.number, row.line.text)
            pair = (min(gpu, other), max(gpu, other))
            if word != "X" and words.setdefault(pair, word) != word:
                raise UnreadableTopologyError(
                    f"GPU{gpu} and GPU{other} are {words[pair]} in one row and {word} here", row.line.number, row.line.text
                )
    return words


def _closeness(word: str) -> Closeness:
    return Closeness.FAST if word.startswith("NV") else _WORDS[word]


def _numa(header: str, row: _Row) -> str:
    """The NUMA column, counted from the right: the CPU column before it may be empty (cgroups) or fused."""
    columns = re.findall(r"CPU Affinity|GPU NUMA ID|NUMA(?: Affinity)?", header)
    tokens = row.tail.split()
    if not any(column in ("NUMA", "NUMA Affinity") for column in columns):
        return ""
    if "GPU NUMA ID" in columns and tokens:
        tokens.pop()
    if len(tokens) > 1 or (tokens and "CPU Affinity" not in columns):
        return tokens[-1]
    if len(tokens) == 1 and _cpu_is_empty(row.tail):
        return tokens[0]
    return ""


def _cpu_is_empty(tail: str) -> bool:
    """Whether the CPU column has nothing in it: its cell between tabs is empty, or a gap of more than a column is there."""
    if "\t" in tail:
        return tail.split("\t")[1:2] == [""]
    return len(tail) - len(tail.lstrip()) > 16


def _nics(header: str, lines: Sequence[Line], gpus: Sequence[int], rows: dict[int, _Row]) -> dict[int, tuple[str, ...]]:
    """The NICs that are nearest to each GPU, named by the legend where there is one."""
    names = re.findall(r"\b(NIC\d+|[a-z][a-z0-9]*_\w+)", header)
    legend = dict(found.groups() for line in lines if (found := re.match(r"^\s*(NIC\d+):\s*(\S+)", line.text)))
    nearest: dict[int, tuple[str, ...]] = {}
    for gpu, row in rows.items():
        cells = row.cells[len(gpus) :]
        if len(cells) != len(names) or not cells:
            continue
        best = min(_closeness(cell) for cell in cells)
        if best <= Closeness.NEAR:
            close = [name for name, cell in zip(names, cells, strict=True) if _closeness(cell) == best]
            nearest[gpu] = tuple(str(legend.get(name, name)) for name in close)
    return nearest


def _warnings(gpus: Sequence[int], rows: dict[int, _Row], words: dict[tuple[int, int], str]) -> tuple[str, ...]:
    found = []
    if len(rows) < len(gpus):
        found.append(f"{len(gpus) - len(rows)} of {len(gpus)} rows are missing; their pairs are taken from the other rows")
    counts = sorted({int(word[2:]) for word in words.values() if word.startswith("NV")})
    if len(counts) > 1:
        found.append("pairs have different numbers of NVLinks (" + ", ".join(map(str, counts)) + "): some may be down")
    return tuple(found)
