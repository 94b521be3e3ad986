"""What `rocm-smi --showtopo*` and `amd-smi topology` print, as tables or JSON. Knows no island.

Link types decide; where that table is missing, weight (15 = one xGMI hop) or hops do. A bandwidth of 0-0 means unknown.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shardwright.topology.lines import Line
from shardwright.topology.types import Closeness, Reading, Tier, UnreadableTopologyError

_TITLES = (
    ("type", re.compile(r"link type", re.IGNORECASE)),
    ("weight", re.compile(r"\bweight\b", re.IGNORECASE)),
    ("hops", re.compile(r"\bhops\b", re.IGNORECASE)),
    ("access", re.compile(r"\baccess(?:ibility)?\b", re.IGNORECASE)),
    ("other", re.compile(r"\bTABLE:|={5,}|bandwidth", re.IGNORECASE)),
)
_NAME = r"(?:GPU\d+|[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.\d)"
_HEADER = re.compile(rf"^\s*{_NAME}(?:\s+{_NAME})*\s*$")
_ROW = re.compile(rf"^\s*({_NAME})\s+(\S.*)$")
_NUMA = re.compile(r"GPU(?:\[| )(\d+)\]?\s*:\s*(?:\(Topology\)\s*)?Numa Node:\s*(-?\w+)", re.IGNORECASE)
_DIRECT_WEIGHT = 15
"""Weight of one xGMI hop; PCIe starts at 20."""
_NO_ACCESS = ("DISABLED", "FALSE")
_SAME_SOCKET_HOPS = 2
_MOST_GPUS = 1024
Table = dict[tuple[int, int], str]


def is_amd(lines: Sequence[Line]) -> bool:
    """Whether this looks like output of AMD's tools."""
    return any(
        _NUMA.search(line.text)
        or re.search(r"(?:LINK TYPE|WEIGHT|HOPS|ACCESS) TABLE:|between two GPUs|ROCm", line.text)
        for line in lines
    )


def read_tables(lines: Sequence[Line]) -> Reading:
    """Read the text form. Raises UnreadableTopologyError with the line that made no sense."""
    tables, names = _tables(lines)
    numa = {int(found[1]): found[2] for line in lines if (found := _NUMA.search(line.text))}
    gpus = tuple(range(len(names))) if names else tuple(sorted(numa))
    if not gpus:
        raise UnreadableTopologyError("no table of GPU pairs and no NUMA nodes in it")
    if len(gpus) > _MOST_GPUS or set(numa) - set(gpus):
        raise UnreadableTopologyError("the NUMA nodes name GPUs that the tables do not")
    return _reading(gpus, tables, numa)


def read_json(text: str) -> Reading | None:
    """Read `amd-smi topology --json` (both forms) or `rocm-smi --showtopo --json`; None where there is no JSON."""
    start = re.search(r"^[ \t]*[\[{][ \t]*(?:$|[\[{\"])", text, re.MULTILINE)
    if start is None:
        return None
    try:
        document, _ = json.JSONDecoder().raw_decode(text[start.start() :].lstrip())
    except ValueError as error:
        line = text[: start.start()].count("\n") + getattr(error, "lineno", 1)
        raise UnreadableTopologyError(
            "this is no valid JSON (cut or edited?)", line, text.split("\n")[line - 1]
        ) from None
    except RecursionError:
        raise UnreadableTopologyError("this JSON is nested too deeply") from None
    tables: dict[str, Table] = {kind: {} for kind in ("type", "weight", "hops", "access")}
    numa: dict[int, str] = {}
    for kind, a, b, value in _entries(document, numa):
        tables[kind][a, b] = str(value)
    gpus = tuple(sorted({gpu for table in tables.values() for pair in table for gpu in pair} | set(numa)))
    if not gpus or len(gpus) > _MOST_GPUS:
        raise UnreadableTopologyError("the JSON holds no links between GPUs")
    return _reading(gpus, tables, numa)


def _entries(document: object, numa: dict[int, str]) -> Iterator[tuple[str, int, int, Any]]:
    """(kind, gpu, gpu, value) of all three JSON forms."""
    if isinstance(document, Mapping) and isinstance(document.get("topology"), list):
        document = document["topology"]
    for gpu in document if isinstance(document, list) else []:
        if isinstance(gpu, Mapping) and isinstance(gpu.get("gpu"), int):
            yield from _of_gpu(gpu["gpu"], gpu)
    if isinstance(document, Mapping):
        yield from _of_system(document, numa)


def _of_gpu(index: int, gpu: Mapping[str, Any]) -> Iterator[tuple[str, int, int, Any]]:
    """One GPU of amd-smi: a list `links` (new) or dictionaries keyed gpu_0, gpu_1 (old)."""
    keys = {"type": "link_type", "weight": "weight", "hops": "num_hops", "access": "link_status"}
    links = gpu.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, Mapping) and isinstance(link.get("gpu"), int):
            yield from ((kind, index, link["gpu"], link[key]) for kind, key in keys.items() if key in link)
    old = {"type": "link_type", "weight": "weight", "hops": "hops", "access": "link_accessibility"}
    for kind, key in old.items():
        for name, value in gpu[key].items() if isinstance(gpu.get(key), Mapping) else ():
            if found := re.fullmatch(r"gpu_(\d{1,4})", str(name)):
                yield kind, index, int(found[1]), value


def _of_system(document: Mapping[str, Any], numa: dict[int, str]) -> Iterator[tuple[str, int, int, Any]]:
    """Read rocm-smi's form: sentences as keys of `system`, and one entry for each card."""
    system = document.get("system")
    for key, value in system.items() if isinstance(system, Mapping) else ():
        found = re.search(
            r"(Weight|Hops|Link type) between DRM devices (\d{1,4}) and (\d{1,4})", str(key), re.IGNORECASE
        )
        if found:
            kind = {"weight": "weight", "hops": "hops", "link type": "type"}[found[1].lower()]
            yield kind, int(found[2]), int(found[3]), value
    for key, value in document.items():
        card = re.fullmatch(r"card(\d{1,4})", str(key))
        if card and isinstance(value, Mapping) and "(Topology) Numa Node" in value:
            numa[int(card[1])] = str(value["(Topology) Numa Node"])


def _tables(lines: Sequence[Line]) -> tuple[dict[str, Table], list[str]]:
    """All tables by kind, and the GPUs' names in the order of the first header."""
    tables: dict[str, Table] = {kind: {} for kind, _ in _TITLES}
    kind, names, columns = "other", list[str](), list[str]()
    for line in lines:
        if _HEADER.match(line.text):
            columns = line.text.split()
            names = names or columns
            if sorted(columns) != sorted(names):
                raise UnreadableTopologyError("this table names other GPUs than the first", line.number, line.text)
        elif found := _ROW.match(line.text):
            _row(tables[kind], names, columns, found[1], line)
        elif title := next((name for name, words in _TITLES if words.search(line.text)), None):
            kind = title if not line.text.startswith(("ERROR", "get_")) else kind
    return tables, names


def _row(table: Table, names: Sequence[str], columns: Sequence[str], name: str, line: Line) -> None:
    """Put one row into its table; a row may be cut, but its name must be known."""
    if name not in names:
        raise UnreadableTopologyError("a row for a GPU that the header does not name", line.number, line.text)
    cells = line.text.split()[1:]
    if len(cells) > len(columns):
        raise UnreadableTopologyError(f"{len(cells)} cells for {len(columns)} GPUs", line.number, line.text)
    for column, cell in zip(columns, cells, strict=False):
        if re.fullmatch(r"X{3,}|UNKNOWN", cell):
            raise UnreadableTopologyError(f"link type {cell} is unknown to the tool itself", line.number, line.text)
        table[names.index(name), names.index(column)] = cell


def _reading(gpus: tuple[int, ...], tables: Mapping[str, Table], numa: dict[int, str]) -> Reading:
    """Combine the tables; a link type in the weight table (a known misprint) counts as one."""
    types = dict(tables["type"])
    for kind in ("weight", "hops"):
        types.update(
            {
                pair: cell
                for pair, cell in tables[kind].items()
                if cell.upper() in ("XGMI", "PCIE") and pair not in types
            }
        )
    pairs: dict[tuple[int, int], Closeness] = {}
    for a in gpus:
        for b in gpus:
            seen = _closeness(a, b, types, tables)
            if a == b or seen is None:
                continue
            pair = (min(a, b), max(a, b))
            if pairs.setdefault(pair, seen) is not seen:
                raise UnreadableTopologyError(f"GPU{a} and GPU{b} are linked differently in each direction")
    apart = frozenset((min(p), max(p)) for p, cell in tables["access"].items() if cell.upper() in _NO_ACCESS)
    warnings = () if types or not pairs else ("the link type table is missing; links are read from weight and hops",)
    return Reading(gpus, pairs, numa, apart, Tier.XGMI, warnings=warnings)


def _closeness(a: int, b: int, types: Table, tables: Mapping[str, Table]) -> Closeness | None:
    """One direction of one pair; None where no table shows it."""
    kind = types.get((a, b), "").upper()
    weight, hops = (_whole(tables[name].get((a, b), "")) for name in ("weight", "hops"))
    disabled = tables["access"].get((a, b), "").upper() in _NO_ACCESS
    if kind == "XGMI" or (not kind and (weight == _DIRECT_WEIGHT or (weight is None and hops == 1))):
        return Closeness.FAST
    if not kind and weight is None and hops is None and not disabled:
        return None
    near = hops is not None and hops <= _SAME_SOCKET_HOPS
    return Closeness.NEAR if near and not disabled else Closeness.FAR


def _whole(cell: str) -> int | None:
    return int(cell) if cell.isascii() and cell.isdigit() and len(cell) < 9 else None
