"""A node's own tools' words become the annotations of docs/interconnect.md, which the inventory reads back. Pure."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from shardwright.api import labels
from shardwright.catalog.types import LinkKind, NetworkKind
from shardwright.topology.fabric import Adapter, fabric_of, fabric_ports
from shardwright.topology.islands import draw_islands, draw_outer
from shardwright.topology.pci import Device, Machine, nearest, numa_nodes
from shardwright.topology.types import Islands, Reading, Tier, Topology

_MOST_LINKS = 18
"""NVLinks of one GPU. A group whose pairs would need more of them hangs on NVSwitches."""
_UNNAMED = re.compile(r"NIC\d+")
"""What nvidia-smi's table calls an adapter; its legend has the name."""
NO_MACHINE = Machine()


def annotations_of(
    reading: Reading | None, adapters: Sequence[Adapter] = (), machine: Machine = NO_MACHINE
) -> dict[str, str]:
    """Write the annotations of a node. Raises UnreadableTopologyError where islands cannot be told.

    Without a reading, which takes a vendor's tool, nothing is said of links: the kernel knows of no NVLink.
    """
    found: dict[str, str] = {}
    gpus = len(machine.gpus)
    if reading is not None:
        topology = draw_islands(reading)
        gpus = topology.gpus
        if gpus > 1:
            found[labels.GPU_LINK] = _link(reading, topology).value
            found[labels.GPU_ISLANDS] = write_islands(topology.islands, draw_outer(reading, topology.islands))
    seen = machine.gpus if len(machine.gpus) == gpus else ()
    found |= _around(reading, adapters, machine, seen)
    return found | _network(adapters, machine, gpus)


def _around(
    reading: Reading | None, adapters: Sequence[Adapter], machine: Machine, gpus: Sequence[Device]
) -> dict[str, str]:
    """Adapters and NUMA nodes near each GPU: by the tool's table, and by the kernel where that does not say."""
    fabric = {port.name for port in fabric_ports(adapters)}
    nics = _named(reading.nics if reading else {}, fabric)
    if fabric and not nics:
        nics = nearest(gpus, [adapter for adapter in machine.adapters if adapter.name in fabric])
    numa = numa_nodes(gpus) or _numa_column(reading)
    found = {}
    if nics:
        found[labels.GPU_NICS] = _grouped(nics)
    if numa:
        found[labels.GPU_NUMA] = _grouped({gpu: (str(node),) for gpu, node in enumerate(numa)})
    return found


def _named(nics: Mapping[int, tuple[str, ...]], fabric: Collection[str]) -> dict[int, tuple[str, ...]]:
    """Without adapters of storage or management, and without names that the table's legend does not explain."""
    kept = {
        gpu: tuple(name for name in names if (name in fabric if fabric else not _UNNAMED.fullmatch(name)))
        for gpu, names in nics.items()
    }
    return {gpu: names for gpu, names in kept.items() if names}


def _numa_column(reading: Reading | None) -> tuple[int, ...]:
    """NUMA nodes as the tool prints them, where it gives one number for each GPU."""
    said = [reading.numa.get(gpu, "") for gpu in reading.gpus] if reading else []
    return tuple(map(int, said)) if all(node.isdecimal() for node in said) else ()


def _network(adapters: Sequence[Adapter], machine: Machine, gpus: int) -> dict[str, str]:
    """The fabric between nodes; without one, the fastest Ethernet interface for all GPUs together."""
    if fabric := fabric_of(adapters, max(gpus, 1)):
        kind, gigabits = fabric
        return {labels.NET_KIND: kind.value} | ({labels.NET_BANDWIDTH_PER_GPU: f"{gigabits}Gb/s"} if gigabits else {})
    if machine.ethernet_megabits and gpus:
        megabits = max(machine.ethernet_megabits) // gpus
        return {labels.NET_KIND: NetworkKind.TCP.value, labels.NET_BANDWIDTH_PER_GPU: f"{megabits}Mb/s"}
    return {}


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


def _grouped(values: Mapping[int, tuple[str, ...]]) -> str:
    """`0-3=mlx5_0;4-7=mlx5_1`: GPUs that share a value together."""
    shared: dict[tuple[str, ...], list[int]] = {}
    for gpu, names in sorted(values.items()):
        shared.setdefault(names, []).append(gpu)
    return ";".join(f"{_ranges(gpus)}={','.join(names)}" for names, gpus in shared.items())


def _ranges(gpus: Iterable[int]) -> str:
    """`0-3`, `0,5`, `0-2,4`."""
    parts: list[list[int]] = []
    for gpu in sorted(gpus):
        if parts and parts[-1][1] == gpu - 1:
            parts[-1][1] = gpu
        else:
            parts.append([gpu, gpu])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in parts)
