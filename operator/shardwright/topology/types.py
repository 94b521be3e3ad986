"""The words of a node's topology as its own tools print it. Nothing here reads text or decides."""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

Islands = tuple[tuple[int, ...], ...]


class Closeness(IntEnum):
    """How two GPUs of one node reach each other, best first; vendors' words are mapped to it where they are read."""

    FAST = 0
    """NVLink (NV#) or xGMI."""
    SWITCH = 1
    """PCIe bridges only, below one host bridge: PIX, PXB."""
    NEAR = 2
    """Through the CPU, inside one NUMA node: PHB, NODE."""
    FAR = 3
    """Between NUMA nodes, or no peer-to-peer at all: SYS, SOC."""


class Tier(StrEnum):
    """What makes the islands of a node."""

    NVLINK = "nvlink"
    XGMI = "xgmi"
    PCIE_SWITCH = "pcie-switch"
    NUMA = "numa"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a tool's output said, before islands are drawn."""

    gpus: tuple[int, ...]
    """GPU indexes as printed, in order."""
    pairs: dict[tuple[int, int], Closeness]
    """(smaller, larger index) -> closeness; a pair that is missing was not shown."""
    numa: dict[int, str] = field(default_factory=dict)
    """GPU index -> NUMA column as printed; empty text where the column is empty."""
    apart: frozenset[tuple[int, int]] = frozenset()
    """Pairs that may not reach each other at all, whatever NUMA node they are in."""
    fast: Tier = Tier.NVLINK
    """What FAST is called on this vendor's hardware."""
    fast_links: dict[tuple[int, int], int] = field(default_factory=dict)
    """(smaller, larger index) -> number of bonded links, where the tool counts them."""
    nics: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """GPU index -> the NICs nearest to it, by name."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Topology:
    """The islands of one node."""

    gpus: int
    link: Tier
    """The best link that any two GPUs have."""
    islands: Islands
    """GPU indexes that reach each other without crossing a slower link; sorted."""
    warnings: tuple[str, ...] = ()


class UnreadableTopologyError(ValueError):
    """The text is no topology, or not enough of one. The message names the line and what made no sense in it."""

    def __init__(self, what: str, line: int | None = None, text: str = "") -> None:
        shown = " ".join(text.split())[:100]
        super().__init__(f"line {line}: {what}: {shown!r}" if line else what)
        self.line = line
