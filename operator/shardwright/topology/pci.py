"""Where GPUs and network adapters sit on the PCI buses and NUMA nodes of a machine, as the kernel lists them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

_BEHIND_ONE_BRIDGE = 2
"""Steps that two paths have in common when a bridge below the root joins the devices."""


@dataclass(frozen=True, slots=True)
class Device:
    """One device."""

    name: str
    """Of an adapter what RDMA calls it, of a GPU its PCI address."""
    path: tuple[str, ...]
    """PCI addresses from the root to the device: `pci0000:0c`, `0000:0c:01.0`, …"""
    numa: int = -1
    """-1 where the machine does not say."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What sysfs says of one node."""

    gpus: tuple[Device, ...] = ()
    """In the order of their PCI addresses, which is the order of their indexes."""
    adapters: tuple[Device, ...] = ()
    ethernet_megabits: tuple[int, ...] = ()
    """Speed of each physical interface that is up, Mb/s."""


def nearest(gpus: Sequence[Device], adapters: Sequence[Device]) -> dict[int, tuple[str, ...]]:
    """GPU index -> names of the adapters nearest to it: below the same bridge, else on its NUMA node or root."""
    found = {}
    for index, gpu in enumerate(gpus):
        ranked = [(_closeness(gpu, adapter), adapter.name) for adapter in adapters]
        best = max((closeness for closeness, _ in ranked), default=0)
        if best:
            found[index] = tuple(name for closeness, name in ranked if closeness == best)
    return found


def numa_nodes(gpus: Sequence[Device]) -> tuple[int, ...]:
    """NUMA node of each GPU; empty unless all of them say."""
    nodes = tuple(gpu.numa for gpu in gpus)
    return nodes if all(node >= 0 for node in nodes) else ()


def _closeness(gpu: Device, adapter: Device) -> int:
    """The depth of the lowest bridge that both are behind; 1 = same root or NUMA node; 0 = far apart."""
    common = 0
    for one, other in zip(gpu.path, adapter.path, strict=False):
        if one != other:
            break
        common += 1
    if common >= _BEHIND_ONE_BRIDGE:
        return common
    return int(common == 1 or (gpu.numa >= 0 and gpu.numa == adapter.numa))
