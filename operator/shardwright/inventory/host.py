"""What a pod finds on its node besides GPUs: network cards, RDMA devices, NUMA nodes, CPUs and memory.

Engines are told of it. No plan is chosen by it and no pool told apart by it, so a pool has what all its nodes share.
Knows no engine and no variable.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from shardwright.catalog.types import GpuProduct, LinkKind, NetworkKind
from shardwright.inventory.raw import quantity, whole
from shardwright.inventory.resources import SHARED_RDMA, is_rdma_resource

SHARES_FROM = 4
"""A node that offers this many of a resource for each of its GPUs offers shares of all its adapters, not adapters."""
_GIB = 1 << 30
_THROUGH_PCIE = (LinkKind.PCIE_SWITCH, LinkKind.PCIE, LinkKind.NONE)


@dataclass(frozen=True, slots=True)
class Host:
    """One node, or what the nodes of a pool have in common; every default says that nothing is known."""

    gpus: int = 0
    """GPUs of the node; 0 = nothing is known of it at all."""
    link: LinkKind | None = None
    """Inside an island, as it is planned with."""
    said_islands: tuple[tuple[int, ...], ...] = ()
    """Where the node itself says how its GPUs are joined; a guess by the product leaves this empty."""
    network: NetworkKind | None = None
    """Between nodes, where the node itself says so."""
    nics: tuple[tuple[tuple[int, ...], tuple[str, ...]], ...] = ()
    """(GPU indexes, the network adapters nearest to them)."""
    interface: str = ""
    """Inside pods, the network interface to reach other pods by."""
    numa: tuple[int, ...] = ()
    """NUMA node of each GPU, by index."""
    devices: tuple[tuple[str, int], ...] = ()
    """RDMA resources and how many of each are allocatable, sorted."""
    cpu_milli: int = 0
    """Allocatable, thousandths."""
    memory_bytes: int = 0
    """Allocatable, whole GiB."""
    peer_to_peer: bool = True
    """Whether the driver lets GPUs read each other's memory."""

    @property
    def adapters(self) -> tuple[str, ...]:
        """Every adapter that is near a GPU, in the order of the GPUs."""
        return tuple(dict.fromkeys(name for _, names in self.nics for name in names))

    def devices_for(self, gpus: int) -> tuple[tuple[str, int], ...]:
        """RDMA resources for a pod with so many of the GPUs: as large a part, or the one share that holds them all."""
        parts = ((name, self._part(name, count, gpus)) for name, count in self.devices)
        return tuple((name, count) for name, count in parts if count)

    def _part(self, name: str, count: int, gpus: int) -> int:
        shared = name.startswith(SHARED_RDMA) and count >= SHARES_FROM * self.gpus
        return 1 if shared else count * gpus // self.gpus


NOTHING_KNOWN = Host()


@dataclass(frozen=True, slots=True)
class Offer:
    """What a node has for pods besides GPUs."""

    devices: tuple[tuple[str, int], ...]
    cpu_milli: int
    memory_bytes: int


def read_offer(allocatable: Mapping[str, Any]) -> Offer:
    """Read a Node's allocatable resources; memory in whole GiB, because kubelets recompute it by the KiB."""
    names = sorted(name for name in allocatable if isinstance(name, str) and is_rdma_resource(name))
    devices = tuple((name, count) for name in names if (count := whole(allocatable[name])))
    cpu, memory = quantity(allocatable.get("cpu")) or 0, quantity(allocatable.get("memory")) or 0
    return Offer(devices, max(0, int(cpu * 1000)), max(0, int(memory // _GIB) * _GIB))


def peer_to_peer(link: LinkKind, product: GpuProduct) -> bool:
    """GeForce cards reach each other over NVLink only: NVIDIA's driver offers no peer-to-peer over PCIe for them."""
    geforce = any("GeForce" in label for label in (*product.labels, product.name))
    return link is not LinkKind.NONE and not (geforce and link in _THROUGH_PCIE)


def shared_host(hosts: Iterable[Host]) -> Host:
    """What all of them have in common: equal facts, and of what can be counted the least."""
    different = tuple(dict.fromkeys(hosts))
    return _shared(different) if len(different) > 1 else next(iter(different), NOTHING_KNOWN)


@lru_cache(maxsize=1024)
def _shared(hosts: tuple[Host, ...]) -> Host:
    first = hosts[0]

    def alike(field: str) -> Any:
        value = getattr(first, field)
        return value if all(getattr(host, field) == value for host in hosts) else getattr(NOTHING_KNOWN, field)

    same = ("gpus", "link", "said_islands", "network", "nics", "interface", "numa")
    return Host(
        **{field: alike(field) for field in same},
        devices=_everywhere([dict(host.devices) for host in hosts]),
        cpu_milli=min(host.cpu_milli for host in hosts),
        memory_bytes=min(host.memory_bytes for host in hosts),
        peer_to_peer=all(host.peer_to_peer for host in hosts),
    )


def _everywhere(offers: list[dict[str, int]]) -> tuple[tuple[str, int], ...]:
    """Resources that every node offers, in the least number."""
    names = set(offers[0]).intersection(*offers[1:])
    return tuple((name, min(offer[name] for offer in offers)) for name in sorted(names))
