"""The annotations by which a Node tells its links (docs/interconnect.md): text to values, each malformed one reported.

A malformed value is ignored alone; the others count. Knows no product and no default.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

from shardwright.api import labels
from shardwright.catalog.types import LinkKind, NetworkKind
from shardwright.inventory.types import Islands

_BANDWIDTH = re.compile(r"^(\d{1,9}(?:\.\d{1,6})?) ?([KMGT]i?)?(B/s|b/s|Bps|bps|bit/s)$", re.ASCII)
_PREFIXES = {
    "": 1,
    "K": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 1 << 10,
    "Mi": 1 << 20,
    "Gi": 1 << 30,
    "Ti": 1 << 40,
}
_RANGE = re.compile(r"^(\d{1,4})(?:-(\d{1,4}))?$", re.ASCII)
KEYS = (
    labels.GPU_LINK, labels.GPU_LINK_BANDWIDTH, labels.GPU_ISLANDS, labels.CROSS_ISLAND_BANDWIDTH, labels.GPU_NICS,
    labels.NVLINK_DOMAIN, labels.NET_KIND, labels.NET_BANDWIDTH_PER_GPU, labels.FABRIC_DOMAIN, labels.GPU_NUMA,
    labels.NET_INTERFACE,
)  # fmt: skip
"""Every annotation that is read here."""
_MOST_GPUS = 1024
LONGEST = 4096
"""Characters of a value that are looked at."""
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Links:
    """What a node's annotations say; None = not said, or malformed."""

    link: LinkKind | None = None
    link_bandwidth: int | None = None
    islands: Islands | None = None
    """The inner level: the fastest."""
    outer_islands: Islands | None = None
    """The coarser level, where islands are nested."""
    cross_island_bandwidth: int | None = None
    nics: tuple[tuple[Islands, str], ...] | None = None
    nvlink_domain: str | None = None
    network: NetworkKind | None = None
    network_bandwidth: int | None = None
    fabric_domain: str | None = None
    numa: tuple[int, ...] | None = None
    """NUMA node of each GPU, by index."""
    interface: str | None = None
    """Of the network between pods, as it is called inside them."""
    problems: tuple[str, ...] = ()
    """One sentence for each malformed annotation: what it is, what is wrong, what would be right."""


def read_links(annotations: Mapping[str, str], gpus: int) -> Links:
    """Read a node's link annotations for its number of GPUs; never raises."""
    problems: list[str] = []

    def read(key: str, parse: Callable[[str], Value]) -> Value | None:
        value = annotations.get(key)
        if value is None:
            return None
        try:
            return parse(value.strip()[:LONGEST])
        except ValueError as error:
            problems.append(f"annotation {key} is ignored: {value[:80]!r} {error}")
            return None

    nested = read(labels.GPU_ISLANDS, lambda value: parse_islands(value, gpus))
    return Links(
        link=read(labels.GPU_LINK, lambda value: _one_of(LinkKind, value)),
        link_bandwidth=read(labels.GPU_LINK_BANDWIDTH, parse_bandwidth),
        islands=nested[0] if nested else None,
        outer_islands=nested[1] if nested else None,
        cross_island_bandwidth=read(labels.CROSS_ISLAND_BANDWIDTH, parse_bandwidth),
        nics=read(labels.GPU_NICS, lambda value: _nics(value, gpus)),
        nvlink_domain=read(labels.NVLINK_DOMAIN, _opaque),
        network=read(labels.NET_KIND, lambda value: _one_of(NetworkKind, value)),
        network_bandwidth=read(labels.NET_BANDWIDTH_PER_GPU, parse_bandwidth),
        fabric_domain=read(labels.FABRIC_DOMAIN, _opaque),
        numa=read(labels.GPU_NUMA, lambda value: _numa(value, gpus)),
        interface=read(labels.NET_INTERFACE, _interface),
        problems=tuple(problems),
    )


def parse_bandwidth(value: str) -> int:
    """`450GB/s` or `200Gb/s` -> bytes per second. Raises ValueError on anything without a unit, and on zero."""
    found = _BANDWIDTH.match(value)
    if found is None:
        raise ValueError("is no bandwidth; write a number and a unit, such as 450GB/s (bytes) or 200Gb/s (bits)")
    amount = Fraction(found[1]) * _PREFIXES[found[2] or ""]
    result = int(amount if found[3].startswith("B") else amount / 8)
    if result <= 0:
        raise ValueError("is no bandwidth; it must be above zero")
    return result


def parse_islands(value: str, gpus: int) -> tuple[Islands, Islands]:
    """`0-3,4-7` or `((0,1),(2,3));((4,5),(6,7))` -> the inner and the outer groups. Raises ValueError.

    Flat: groups are divided by `;` or, without any `;`, by `,`; members of a group are ranges or, beside `;`, lists.
    """
    if not re.fullmatch(r"[0-9,;()\- ]+", value):
        raise ValueError("is no list of islands; write 0-3,4-7 or ((0,1),(2,3));((4,5),(6,7))")
    bare = value.replace(" ", "")
    if "(" in bare or ")" in bare:
        outer, inner = _nested(bare)
    else:
        inner = [_members(part) for part in bare.split(";" if ";" in bare else ",")]
        outer = []
    return _whole(inner, gpus), _whole(outer, gpus) if outer else ()


def _nested(bare: str) -> tuple[list[list[int]], list[list[int]]]:
    """Parentheses are groups; a group of groups is an outer island."""
    outer, inner = [], []
    for part in bare.split(";"):
        groups = re.findall(r"\(([0-9,\-]+)\)", part)
        if re.sub(r"\([0-9,\-]+\)", "G", part) not in _shapes(len(groups)):
            raise ValueError("has parentheses that do not pair up; write ((0,1),(2,3));((4,5),(6,7))")
        members = [_members(group) for group in groups]
        inner.extend(members)
        outer.append([gpu for group in members for gpu in group])
    return outer, inner


def _shapes(groups: int) -> tuple[str, ...]:
    """What may be left of one outer island when its groups are replaced by a letter."""
    row = ",".join("G" * groups)
    return (f"({row})", "G") if groups == 1 else (f"({row})",)


def _members(group: str) -> list[int]:
    """`0-3` or `0,2` -> the indexes."""
    members: list[int] = []
    for part in group.split(","):
        found = _RANGE.match(part)
        if found is None:
            raise ValueError(f"has {part!r} where a GPU index or a range such as 0-3 belongs")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first or last >= _MOST_GPUS:
            raise ValueError(f"has {part!r}, which is no range of GPU indexes")
        members.extend(range(first, last + 1))
    return members


def _whole(groups: list[list[int]], gpus: int) -> Islands:
    """Sort the groups, and insist that each GPU of the node is in exactly one."""
    members = sorted(gpu for group in groups for gpu in group)
    if members != list(range(len(members))):
        raise ValueError("must name each GPU from 0 on exactly once")
    if len(members) != gpus:
        raise ValueError(f"names {len(members)} GPUs, and the node offers {gpus}")
    return tuple(sorted(tuple(sorted(group)) for group in groups))


def _nics(value: str, gpus: int) -> tuple[tuple[Islands, str], ...]:
    """`0-3=mlx5_0;4-7=mlx5_1`."""
    found = []
    for part in value.split(";"):
        group, sign, nic = part.partition("=")
        if not sign or not re.fullmatch(r"[A-Za-z0-9_.,:-]+", nic):
            raise ValueError("names no NICs; write 0-3=mlx5_0;4-7=mlx5_1")
        members = tuple(sorted(set(_members(group.strip()))))
        if members[-1] >= gpus:
            raise ValueError(f"names GPU {members[-1]}, and the node offers {gpus}")
        found.append(((members,), nic))
    return tuple(sorted(found))


def _numa(value: str, gpus: int) -> tuple[int, ...]:
    """`0-3=0;4-7=1` -> the NUMA node of each GPU."""
    nodes: dict[int, int] = {}
    groups: list[list[int]] = []
    for part in value.split(";"):
        group, sign, node = part.partition("=")
        if not sign or not re.fullmatch(r"\d{1,3}", node.strip(), re.ASCII):
            raise ValueError("names no NUMA nodes; write 0-3=0;4-7=1")
        groups.append(_members(group.replace(" ", "")))
        nodes |= dict.fromkeys(groups[-1], int(node))
    _whole(groups, gpus)
    return tuple(nodes[gpu] for gpu in range(gpus))


def _interface(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,15}", value):
        raise ValueError("is no name of a network interface, such as eth0")
    return value


def _one_of(kinds: type[Value], value: str) -> Value:
    """Read a word of an enumeration."""
    for kind in kinds:  # type: ignore[attr-defined]
        if kind.value == value:
            return kind  # type: ignore[no-any-return]
    words = ", ".join(kind.value for kind in kinds)  # type: ignore[attr-defined]
    raise ValueError(f"is none of {words}")


def _opaque(value: str) -> str:
    if not value or len(value) > 253 or not value.isprintable():
        raise ValueError("is no identifier of 1 to 253 printable characters")
    return value
