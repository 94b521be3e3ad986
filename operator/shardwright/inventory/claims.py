"""A node whose GPUs are offered through ResourceSlices: what they are, and how pods claim them by attribute.

Where a device plugin offers the same GPUs, its resource is used and the slices are not. Knows no pool and no pod.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shardwright.api.reasons import Reason
from shardwright.catalog.types import LinkKind
from shardwright.inventory.annotations import Links
from shardwright.inventory.hardware import Hardware
from shardwright.inventory.refusals import UnusableNodeError
from shardwright.inventory.slices import DRIVERS, PCIE_ROOT, Device
from shardwright.inventory.types import ClaimAsk, Islands

_MIB = 1 << 20
_ON_PCIE = (LinkKind.PCIE, LinkKind.PCIE_SWITCH)


@dataclass(frozen=True, slots=True)
class Claimable:
    """The GPUs of one node as its slices tell them."""

    ask: ClaimAsk
    islands: Islands = ()
    """GPUs under one PCIe root each, where that tells more than nothing; indexes count devices, not CUDA's order."""


def with_devices(hardware: Hardware, devices: Sequence[Device]) -> tuple[Hardware, Claimable | None, tuple[str, ...]]:
    """Join a node's labels with the devices of its slices; notes say what was assumed.

    Raises UnusableNodeError where slices offer no whole GPU.
    """
    if not devices:
        return hardware, None, ()
    if any(count for _, count in hardware.allocatable):
        resource = hardware.resource or next(name for name, count in hardware.allocatable if count)
        return hardware, None, (f"ResourceSlices offer its GPUs too; pods ask for {resource}, and they count once",)
    whole = [device for device in devices if device.whole]
    if not whole:
        raise UnusableNodeError(
            Reason.MIG_MIXED,
            "its ResourceSlices offer parts of GPUs, or GPUs that a taint keeps from being used, and no whole one: "
            "parts of several sizes are no pool",
        )
    first, driver = whole[0], DRIVERS[whole[0].driver]
    products = sorted({device.product for device in whole})
    memory = min(device.memory_bytes for device in whole)
    joined = replace(
        hardware,
        vendor=driver.vendor,
        product_text=first.product.replace(" ", "-") or hardware.product_text,
        product_from=f"its ResourceSlice ({first.driver})" if first.product else hardware.product_from,
        memory_mib=memory // _MIB or hardware.memory_mib,
        label_count=len(whole),
        allocatable=((driver.device_class, len(whole)),),
        compute=first.compute or hardware.compute,
        mig=None,
        several_products=tuple(products) if len(products) > 1 else (),
    )
    islands = _by_root(whole)
    return joined, Claimable(_ask(first, memory, PCIE_ROOT if islands else ""), islands), ()


def _ask(device: Device, memory_bytes: int, same: str) -> ClaimAsk:
    """Claim devices of this product with at least this memory: what a pool's other nodes have alike."""
    driver, row = device.driver, DRIVERS[device.driver]
    selectors = [f'device.attributes["{driver}"].type == "{row.whole}"']
    if device.product:
        name = device.product.replace("\\", "\\\\").replace('"', '\\"')
        selectors.append(f'device.attributes["{driver}"].{row.product} == "{name}"')
    if memory_bytes:
        least = f'quantity("{memory_bytes // _MIB}Mi")'
        selectors.append(f'device.capacity["{driver}"].memory.compareTo({least}) >= 0')
    return ClaimAsk(row.device_class, tuple(selectors), same)


def _by_root(devices: Sequence[Device]) -> Islands:
    """Group by PCIe root; nothing where a device has none, all share one, or no two share any."""
    roots = [device.pcie_root for device in devices]
    if not all(roots) or not 1 < len(set(roots)) < len(roots):
        return ()
    groups = {root: tuple(index for index, other in enumerate(roots) if other == root) for root in roots}
    return tuple(sorted(groups.values()))


def with_roots(said: Links, claimable: Claimable | None, link: LinkKind) -> tuple[Links, tuple[str, ...]]:
    """Take islands from PCIe roots where neither an annotation nor a faster link of the product says otherwise."""
    if claimable is None or not claimable.islands or said.islands or (said.link or link) not in _ON_PCIE:
        return said, ()
    note = f"islands are GPUs of one {PCIE_ROOT.partition('/')[2]}, as its ResourceSlice says"
    return replace(said, islands=claimable.islands, link=LinkKind.PCIE_SWITCH), (note,)
