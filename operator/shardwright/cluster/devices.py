"""Which GPUs ResourceSlices offer on each node, and how many of them ResourceClaims of others hold. No I/O."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from shardwright.inventory.slices import DRIVERS, Device, DeviceId, Slice

Address = tuple[str, str]
"""Namespace and name."""


class DeviceBook:
    """Slices and claims as they were last seen. A claim may be seen before the slice with its devices."""

    def __init__(self) -> None:
        """Empty."""
        self._slices: dict[str, Slice] = {}
        self._of_node: defaultdict[str, set[str]] = defaultdict(set)
        self._node_of: dict[tuple[str, str], str] = {}
        self._claims: dict[Address, tuple[DeviceId, ...]] = {}
        self._in_pool: defaultdict[tuple[str, str], set[Address]] = defaultdict(set)

    def put_slice(self, name: str, one: Slice | None) -> None:
        """A slice as it stands; None = it is gone, or tells nothing of a node's GPUs."""
        if old := self._slices.pop(name, None):
            self._of_node[old.node].discard(name)
        if one:
            self._slices[name] = one
            self._of_node[one.node].add(name)
            self._node_of[one.driver, one.pool] = one.node

    def put_claim(self, address: Address, devices: tuple[DeviceId, ...]) -> tuple[str, ...]:
        """The devices that a claim holds; none = it holds nothing, or is gone. Returns the nodes that it concerns."""
        pools = {device[:2] for device in (*self._claims.pop(address, ()), *devices)}
        for pool in pools:
            self._in_pool[pool].discard(address)
        if devices:
            self._claims[address] = devices
        for device in devices:
            self._in_pool[device[:2]].add(address)
        return tuple(sorted({self._node_of[pool] for pool in pools if pool in self._node_of}))

    def offered(self, node: str) -> tuple[Device, ...]:
        """All devices of a node, by name."""
        found = [device for one in self._current(node) for device in one.devices]
        return tuple(sorted(found, key=lambda device: (device.driver, device.name)))

    def claimed_on(self, node: str) -> Mapping[str, int]:
        """GPUs of a node that claims hold, by device class; a part of a GPU holds all of it."""
        total: Counter[str] = Counter()
        for one in self._current(node):
            claims = self._in_pool.get((one.driver, one.pool), ())
            held = {
                device[2] for claim in claims for device in self._claims[claim] if device[:2] == (one.driver, one.pool)
            }
            total[DRIVERS[one.driver].device_class] += len(_gpus(one.devices, held))
        return {name: count for name, count in total.items() if count}

    def _current(self, node: str) -> Iterable[Slice]:
        """A node's slices of the newest generation of each of its pools; a driver replaces older ones one by one."""
        mine = [self._slices[name] for name in sorted(self._of_node.get(node, ()))]
        newest: Counter[tuple[str, str]] = Counter()
        for one in mine:
            newest[one.driver, one.pool] = max(newest[one.driver, one.pool], one.generation)
        return [one for one in mine if one.generation == newest[one.driver, one.pool]]


def _gpus(devices: Iterable[Device], held: set[str]) -> set[str]:
    """Names of whole GPUs that are held, themselves or by a part."""
    known = list(devices)
    parents = {device.parent for device in known if device.name in held and device.parent}
    return {device.name for device in known if device.whole and (device.name in held or device.identity in parents)}
