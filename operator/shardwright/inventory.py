"""Nodes and pods become pools with free GPUs; odd nodes are listed with a reason. Labels are parsed here and nowhere else.

(First cut of the types; the functions follow.)
"""

from dataclasses import dataclass

from shardwright.api.reasons import Reason
from shardwright.catalog.types import GpuProduct, LinkKind, NetworkKind


@dataclass(frozen=True, slots=True)
class PoolNode:
    """One node as planning sees it."""

    name: str
    gpus: int
    """Allocatable."""
    free_gpus: int
    """Allocatable less what pods request and what was promised; never negative."""
    labels: tuple[tuple[str, str], ...]
    taints: tuple[tuple[str, str, str], ...]
    """(key, value, effect), NoSchedule and NoExecute only."""
    fabric_domain: str | None = None
    nvlink_domain: str | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    """Nodes that are alike for planning."""

    name: str
    """`h100-sxm-8`: product and GPUs per node, with a suffix where two pools would share it."""
    product: GpuProduct
    gpu_resource: str
    """`nvidia.com/gpu`, `amd.com/gpu`, …"""
    gpus_per_node: int
    memory_bytes: int
    """Of one GPU, as the engine will see it."""
    link: LinkKind
    link_bandwidth: int
    """Bytes per second, per GPU, one direction, inside an island."""
    islands: tuple[tuple[int, ...], ...]
    """GPU indexes of one node that reach each other without crossing a slower link."""
    cross_island_bandwidth: int
    network: NetworkKind
    network_bandwidth: int
    """Bytes per second, per GPU, between nodes."""
    nodes: tuple[PoolNode, ...]
    """Sorted by name."""
    selector: tuple[tuple[str, str], ...] = ()
    """Node labels that all of the pool's nodes and no others carry; empty where only annotations tell pools apart."""
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SkippedNode:
    """A node that cannot be planned on, and why."""

    name: str
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything planning may use, and what was left out."""

    pools: tuple[Pool, ...]
    skipped: tuple[SkippedNode, ...] = ()
