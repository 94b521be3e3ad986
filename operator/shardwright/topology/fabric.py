"""The network adapters of a node, as the kernel lists them, become the kind of fabric and its bandwidth. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from shardwright.catalog.types import NetworkKind

_RATE = re.compile(r"^\s*(\d{1,6})(?:\.\d+)? Gb/sec")
_BEST_FIRST = (NetworkKind.INFINIBAND, NetworkKind.EFA, NetworkKind.ROCE)


@dataclass(frozen=True, slots=True)
class Adapter:
    """One port in /sys/class/infiniband, as its files say."""

    name: str
    link_layer: str
    """`InfiniBand`, `Ethernet`, `Unspecified`."""
    rate: str
    """`400 Gb/sec (4X NDR)`."""
    state: str
    """`4: ACTIVE`."""
    driver: str
    """`mlx5_core`, `efa`, …"""

    @property
    def gigabits(self) -> int:
        """Bits per second / 10^9; 0 for a port that is down or says nothing."""
        found = _RATE.match(self.rate)
        return int(found[1]) if found and "ACTIVE" in self.state.upper() else 0

    @property
    def kind(self) -> NetworkKind | None:
        """The kind of fabric; None for a port that says nothing."""
        if self.driver == "efa":
            return NetworkKind.EFA
        return {"InfiniBand": NetworkKind.INFINIBAND, "Ethernet": NetworkKind.ROCE}.get(self.link_layer)


def fabric_of(adapters: Iterable[Adapter], gpus: int) -> tuple[NetworkKind, int] | None:
    """The fabric and its Gb/s per GPU: all active ports of the best kind, of which only the fastest count.

    Slower ports beside them are storage or management. None where no port is active.
    """
    ports = fabric_ports(adapters)
    if not ports or ports[0].kind is None:
        return None
    return ports[0].kind, len(ports) * ports[0].gigabits // gpus


def fabric_ports(adapters: Iterable[Adapter]) -> list[Adapter]:
    """The ports that the fabric consists of: the fastest active ones of the best kind."""
    active = [adapter for adapter in adapters if adapter.gigabits and adapter.kind]
    for kind in _BEST_FIRST:
        rates = [adapter.gigabits for adapter in active if adapter.kind is kind]
        if rates:
            return [adapter for adapter in active if adapter.kind is kind and adapter.gigabits == max(rates)]
    return []
