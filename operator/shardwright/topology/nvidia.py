"""The matrix of `nvidia-smi topo -m`, as it comes out of terminals, logs, containers and issue trackers.

Columns are never taken from alignment: copies lose tabs, fuse cells and cut rows. What is trusted is the order of the
link words in a row, the X on the diagonal and the symmetry of the matrix. Knows no island.
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
_BEFORE = r"^(?:(?!GPU\d).){0,80}?"
"""What a log or a prompt may put before the matrix on each line."""
_HEADER = re.compile(_BEFORE + r"(?<!\w)((?:GPU\d{1,4}\s*)+)(?=$|NIC|mlx|CPU|NUMA|GPU NUMA|\.\.\.|[a-z])(.*)$")
_ROW = re.compile(_BEFORE + r"(?<!\w)GPU(\d{1,4})(?=\s|X|NV)\s*(.*)$")
_NIC_ROW = re.compile(r"^\s*(NIC\d+|[a-z]\w*\d+)\s")
_PEER_STATUS = re.compile(r"^\s*(?:OK|[CGT]?NS|DR|U)(?:\s|$)")
"""What `topo -p2p` says of a pair."""
_LOOSE = re.compile(r"(?:^|\s)(?:NV\d+|PIX|PXB|PHB|NODE|SYS|SOC|X)\s+(?:NV\d+|PIX|PXB|PHB|NODE|SYS|SOC|X)(?:\s|$)")
"""Two link words in a row: part of a matrix wherever it stands."""
_MOST_GPUS = 1024


@dataclass(slots=True)
class _Row:
    line: Line
    cells: list[str]
    tail: str
    """What follows the link words: affinities."""


def find_header(lines: Sequence[Line]) -> int | None:
    """Where the matrix starts: the line before its first row. A `-p2p` matrix speaks of OK, and is none."""
    for at, line in enumerate(lines):
        if _HEADER.match(line.text):
            row = next((found for later in lines[at + 1 :] if (found := _ROW.match(later.text))), None)
            if row and _speaks_links(row[2]):
                return at
        elif (row := _ROW.match(line.text)) and _speaks_links(row[2]):
            return at - 1
    return None


def _speaks_links(body: str) -> bool:
    cells, tail = _cells(body)
    return bool(cells) and not _PEER_STATUS.match(tail)


def read_matrix(lines: Sequence[Line], header_at: int) -> Reading:
    """Read the matrix below a header. Raises UnreadableTopologyError with the line that made no sense."""
    header = lines[header_at] if header_at >= 0 else Line(0, "")
    named = _HEADER.match(header.text)
    rows = _rows(lines[header_at + 1 :])
    if not named:
        _insist_on_square(rows, lines[header_at + 1 :])
    gpus = tuple(int(name) for name in re.findall(r"\d+", named[1])) if named else tuple(sorted(rows))
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
        numa={gpu: _numa(named[2] if named else "", row) for gpu, row in rows.items()},
        fast=Tier.NVLINK,
        fast_links={pair: int(word[2:]) for pair, word in words.items() if word.startswith("NV")},
        nics=_nics(named[2] if named else "", lines, gpus, rows),
        warnings=_warnings(gpus, rows, words),
    )


def _rows(lines: Sequence[Line]) -> dict[int, _Row]:
    """The GPU rows up to the end of the matrix. Link words without a row's name mean that rows were broken up."""
    rows: dict[int, _Row] = {}
    for line in lines:
        found = _ROW.match(line.text)
        if rows and _HEADER.match(line.text):
            break
        if found is None or not _cells(found[2])[0]:
            if rows and (not line.text.strip() or "Legend" in line.text):
                break
            if _LOOSE.search(line.text) and not _NIC_ROW.match(line.text):
                raise UnreadableTopologyError("link words without a row's name (broken rows?)", line.number, line.text)
            continue
        if _LOOSE.search(line.text[: found.start(1)]):
            raise UnreadableTopologyError("link words before a row's name (broken rows?)", line.number, line.text)
        gpu = int(found[1])
        cells, tail = _cells(found[2])
        if gpu in rows:
            raise UnreadableTopologyError(f"a second row for GPU{gpu}", line.number, line.text)
        if re.search(r"GPU\d+\s", tail):
            raise UnreadableTopologyError("two rows in one line (broken rows?)", line.number, line.text)
        rows[gpu] = _Row(line, cells, tail)
    return rows


def _insist_on_square(rows: dict[int, _Row], lines: Sequence[Line]) -> None:
    """Without a header only a whole matrix tells how many of its columns are GPUs."""
    nics = sum(1 for line in lines if _NIC_ROW.match(line.text) and _LOOSE.search(line.text))
    for row in rows.values():
        if len(row.cells) not in (len(rows), len(rows) + nics):
            raise UnreadableTopologyError("the header with the GPUs' names is missing", row.line.number, row.line.text)


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
                    f"GPU{gpu} and GPU{other} are {words[pair]} in one row and {word} here",
                    row.line.number,
                    row.line.text,
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
    """Whether the CPU column has nothing in it: an empty cell between tabs, or a gap of more than a column."""
    if "\t" in tail:
        return tail.split("\t")[1:2] == [""]
    return len(tail) - len(tail.lstrip()) > 16


def _nics(header: str, lines: Sequence[Line], gpus: Sequence[int], rows: dict[int, _Row]) -> dict[int, tuple[str, ...]]:
    """The NICs that are nearest to each GPU, named by the legend where there is one."""
    names = re.findall(r"\b(NIC\d+|[a-z][a-z0-9]*_\w+)", header)
    entries = (re.match(r"^\s*(NIC\d+):\s*(\S+)", line.text) for line in lines)
    legend = {entry[1]: entry[2] for entry in entries if entry}
    nearest: dict[int, tuple[str, ...]] = {}
    for gpu, row in rows.items():
        cells = row.cells[len(gpus) :]
        if len(cells) != len(names) or not cells:
            continue
        best = min(_closeness(cell) for cell in cells)
        if best <= Closeness.NEAR:
            close = [name for name, cell in zip(names, cells, strict=True) if _closeness(cell) == best]
            nearest[gpu] = tuple(legend.get(name, name) for name in close)
    return nearest


def _warnings(gpus: Sequence[int], rows: dict[int, _Row], words: dict[tuple[int, int], str]) -> tuple[str, ...]:
    found = []
    if len(rows) < len(gpus):
        found.append(
            f"{len(gpus) - len(rows)} of {len(gpus)} rows are missing; their pairs are taken from the other rows"
        )
    counts = sorted({int(word[2:]) for word in words.values() if word.startswith("NV")})
    if len(counts) > 1:
        found.append("pairs have different numbers of NVLinks (" + ", ".join(map(str, counts)) + "): some may be down")
    return tuple(found)
