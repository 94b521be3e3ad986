"""Which product a node's devices are, and how much memory an engine will see on one.

The catalogue knows products; this knows what to do when labels and catalogue disagree. Knows no links and no state.
"""

from dataclasses import dataclass, replace

from shardwright.api.reasons import Reason
from shardwright.catalog.load import MIB, UNKNOWN_MEMORY_PERCENT, gpu_catalog
from shardwright.catalog.types import GpuMatch, GpuProduct, Vendor
from shardwright.inventory.hardware import Hardware
from shardwright.inventory.refusals import UnusableNodeError

FROM_LABELS = "node labels"
"""The `source` of a product that the catalogue does not know."""
_SAME_MEMORY_PERCENT = 2
"""Drivers and ECC move a label by less than this."""
_MIG_SEVENTHS = 7


@dataclass(frozen=True, slots=True)
class Devices:
    """What a pod can ask for on a node."""

    product: GpuProduct
    resource: str
    count: int
    """Allocatable."""
    memory_bytes: int
    """Of one device, as the engine will see it."""
    multi_gpu: bool
    """Whether several of them may work on one replica."""


def devices_of(hardware: Hardware) -> tuple[Devices, tuple[str, ...]]:
    """Name the devices and say what was assumed. Raises UnusableNodeError for unknown ones."""
    match = _match(hardware)
    notes = match.assumptions
    if hardware.product_from and "/gpu.product" not in hardware.product_from:
        notes = (f"product {match.product.name} is read from {hardware.product_from}", *notes)
    resource = hardware.resource or ""
    count = dict(hardware.allocatable).get(resource, 0)
    if hardware.mig:
        product = _slice(match.product, hardware)
        notes = (*notes, "MIG slices: a replica takes exactly one")
        return Devices(product, resource, count, product.memory_bytes, multi_gpu=False), notes
    memory, guess = _memory(match.product, hardware.memory_mib)
    if hardware.vgpu:
        guess = (*guess, "vGPU: the hypervisor may keep GPUs from reaching each other")
    return Devices(match.product, resource, count, memory, multi_gpu=True), (*notes, *guess)


def _match(hardware: Hardware) -> GpuMatch:
    """By name, by device id where there is none, or by labels alone."""
    catalog, vendor = gpu_catalog(), hardware.vendor or Vendor.NVIDIA
    if not hardware.product_text and not hardware.device_id:
        raise UnusableNodeError(
            Reason.DEVICES_WITHOUT_LABELS,
            "it offers GPUs but no label says which; does the vendor's feature discovery or node labeller run there?",
        )
    found = _by_name(hardware, vendor) or _by_id(hardware, vendor)
    name = hardware.product_text or f"device {hardware.device_id}"
    found = found or catalog.stand_in(vendor, hardware.memory_mib or 0, hardware.compute, name[:128])
    if found is None:
        raise UnusableNodeError(
            Reason.UNKNOWN_GPU,
            f"{name[:128]} is not in the catalogue, and no label tells its memory and compute capability either",
        )
    return found


def _by_name(hardware: Hardware, vendor: Vendor) -> GpuMatch | None:
    found = gpu_catalog().find(hardware.product_text or "", memory_mib=hardware.memory_mib)
    return found if found and found.product.vendor is vendor else None


def _by_id(hardware: Hardware, vendor: Vendor) -> GpuMatch | None:
    product = gpu_catalog().find_device(vendor, hardware.device_id or "")
    note = "an unknown product label" if hardware.product_text else "no product label"
    return GpuMatch(product, (f"{note}: device id {hardware.device_id} is {product.name}",)) if product else None


def _memory(product: GpuProduct, label_mib: int | None) -> tuple[int, tuple[str, ...]]:
    """Give the catalogue's figure where the label agrees, else the label's less a reserve."""
    known = product.label_memory_mib or product.memory_gib * 1024
    if product.source == FROM_LABELS:
        return product.memory_bytes, ()
    if label_mib is None or not known:
        return product.memory_bytes, (f"no memory label: {product.memory_bytes // MIB} MiB from the catalogue",)
    if abs(label_mib - known) * 100 <= known * _SAME_MEMORY_PERCENT:
        return min(product.memory_bytes, label_mib * MIB), ()
    memory = label_mib * MIB * UNKNOWN_MEMORY_PERCENT // 100
    note = f"the memory label says {label_mib} MiB where {product.name} has {known}: taken as {memory // MIB} MiB"
    return memory, (note,)


def _slice(product: GpuProduct, hardware: Hardware) -> GpuProduct:
    """One MIG slice as a product of its own: g sevenths of the compute, bandwidth by its share of the memory."""
    profile = (hardware.mig.profile if hardware.mig else None) or "1g"
    sevenths = min(int(profile.partition("g")[0]), _MIG_SEVENTHS)
    whole_mib = product.label_memory_mib or product.memory_gib * 1024
    mib = min(hardware.memory_mib or whole_mib * sevenths // 8, whole_mib)
    return replace(
        product,
        name=f"{product.name}-MIG-{profile}",
        memory_bytes=mib * MIB * UNKNOWN_MEMORY_PERCENT // 100,
        label_memory_mib=mib,
        scale_up_domain=1,
        bf16_flops=product.bf16_flops * sevenths // _MIG_SEVENTHS,
        fp16_flops=product.fp16_flops * sevenths // _MIG_SEVENTHS,
        fp8_flops=product.fp8_flops * sevenths // _MIG_SEVENTHS,
        fp4_flops=product.fp4_flops * sevenths // _MIG_SEVENTHS,
        memory_bandwidth=product.memory_bandwidth * mib // whole_mib,
    )
