"""A node's own tools' words become the annotations of docs/interconnect.md, which the inventory reads back. Pure."""

from collections.abc import Iterable, Sequence

from shardwright.api import labels
from shardwright.catalog.types import LinkKind
from shardwright.topology.fabric import Adapter, fabric_of
from shardwright.topology.islands import draw_islands, draw_outer
from shardwright.topology.types import Islands, Reading, Tier, Topology

_MOST_LINKS = 18
"""NVLinks of one GPU. A group whose pairs would need more of them hangs on NVSwitches."""


def annotations_of(reading: Reading, adapters: Sequence[Adapter] = ()) -> dict[str, str]:
    """Write the annotations of a node. Raises UnreadableTopologyError where islands cannot be told."""
    topology = draw_islands(reading)
    found: dict[str, str] = {}
    if topology.gpus > 1:
        found[labels.GPU_LINK] = _link(reading, topology).value
        found[labels.GPU_ISLANDS] = write_islands(topology.islands, draw_outer(reading, topology.islands))
    if reading.nics:
        found[labels.GPU_NICS] = _nics(reading)
    if fabric := fabric_of(adapters, topology.gpus):
        found[labels.NET_KIND] = fabric[0].value
        if fabric[1]:
            found[labels.NET_BANDWIDTH_PER_GPU] = f"{fabric[1]}Gb/s"
    return found


def write_islands(islands: Islands, outer: Islands = ()) -> str:
    """`0-3;4-7`, or nested `((0,1),(2,3));((4,5),(6,7))` where there is a coarser level."""
    if not outer:
        return ";".join(map(_ranges, islands))
    groups = [[island for island in islands if set(island) <= set(group)] for group in outer]
    written = [",".join(f"({_ranges(island)})" for island in group) for group in groups]
    return ";".join(f"({text})" if len(group) > 1 else text for text, group in zip(written, groups, strict=True))


def _link(reading: Reading, topology: Topology) -> LinkKind:
    """Name the link inside the largest island."""
    if topology.link is Tier.XGMI:
        return LinkKind.XGMI
    if topology.link is not Tier.NVLINK:
        return LinkKind.PCIE_SWITCH if topology.link is Tier.PCIE_SWITCH else LinkKind.PCIE
    island = max(topology.islands, key=len)
    links = [reading.fast_links.get((a, b), 0) for a in island for b in island if a < b]
    if min(links, default=0) * (len(island) - 1) > _MOST_LINKS:
        return LinkKind.NVSWITCH
    across = any((a in island) != (b in island) for a, b in reading.fast_links)
    mesh = len(island) > 2 and (len(island) == topology.gpus or across)
    return LinkKind.NVLINK_MESH if mesh else LinkKind.NVLINK_BRIDGE


def _nics(reading: Reading) -> str:
    """`0-3=mlx5_0;4-7=mlx5_1`: GPUs that share their nearest NICs together."""
    shared: dict[tuple[str, ...], list[int]] = {}
    for gpu, nics in sorted(reading.nics.items()):
        shared.setdefault(nics, []).append(gpu)
    return ";".join(f"{_ranges(gpus)}={','.join(nics)}" for nics, gpus in shared.items())


def _ranges(gpus: Iterable[int]) -> str:
    """`0-3`, `0,5`, `0-2,4`."""
    parts: list[list[int]] = []
    for gpu in sorted(gpus):
        if parts and parts[-1][1] == gpu - 1:
            parts[-1][1] = gpu
        else:
            parts.append([gpu, gpu])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in parts)
