"""What a Node object says of its GPUs, field by field, before anyone judges it.

Labels lie in known ways (units, stale counts, MIG strategy without MIG); each is read here once. Knows no product and
no plan: a missing field is None.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from shardwright.catalog.types import Vendor
from shardwright.inventory import clouds
from shardwright.inventory.raw import number, quantity, whole
from shardwright.inventory.resources import CLAIMED, MIG_PREFIX, SHARED_SUFFIX, WHOLE, is_gpu_resource

_MIB = 1 << 20
_LARGEST_GPU_MIB = 1 << 23
"""No GPU has 8 TiB: a larger number is bytes, as one release of GPU Feature Discovery wrote."""
_SPEAKERS = (
    "nvidia.com/", "amd.com/", "beta.amd.com/", "gpu.intel.com/", "habana.ai/", "karpenter.k8s.aws/instance-gpu",
    "cloud.google.com/gke-accelerator", "akash.network/", clouds.INSTANCE_TYPE, clouds.NFD_NVIDIA,
)  # fmt: skip
"""Beginnings of all labels that this room reads; a node has a hundred others."""
_MIG_LABEL = re.compile(r"^nvidia\.com/mig-(\d+g\.\d+gb[a-z.+]*)\.(count|memory)$")
_MIG_PRODUCT = re.compile(r"-MIG-(\d+g\.\d+gb[a-z.+]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Mig:
    """Multi-instance GPU as labels and resources show it."""

    strategy: str
    """`single` or `mixed`."""
    profile: str | None = None
    """Of strategy single."""
    profiles: tuple[tuple[str, int], ...] = ()
    """Of strategy mixed: (profile as the label spells it, slices)."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """Several pods on one GPU without a border in its memory."""

    strategy: str
    replicas: int


@dataclass(frozen=True, slots=True)
class Hardware:
    """The GPUs of one node as its labels, annotations and allocatable resources tell them."""

    vendor: Vendor | None
    product_text: str | None = None
    product_from: str = ""
    """The label or annotation that named the product."""
    memory_mib: int | None = None
    label_count: int | None = None
    allocatable: tuple[tuple[str, int], ...] = ()
    """Every GPU resource that is listed, zeros included, sorted."""
    compute: tuple[int, int] | None = None
    device_id: str | None = None
    mig: Mig | None = None
    partition: str = ""
    """AMD's mode of cutting cards into several devices; empty = whole cards."""
    sharing: Sharing | None = None
    clique: str | None = None
    vgpu: bool = False
    several_products: tuple[str, ...] = ()
    """Set where the labels name more than one."""

    @property
    def resource(self) -> str | None:
        """The resource of whole GPUs that has the most of them."""
        order = (*WHOLE, *CLAIMED)
        known = [(count, -order.index(name), name) for name, count in self.allocatable if name in order and count]
        return max(known)[2] if known else None

    @property
    def offered(self) -> int:
        """Devices of that resource."""
        return dict(self.allocatable).get(self.resource or "", 0)

    @property
    def multi_gpu(self) -> bool:
        """Whether several of the devices may work on one replica: not MIG slices, not shares of one card."""
        return self.mig is None and self.sharing is None


def read_hardware(
    labels: Mapping[str, str], annotations: Mapping[str, str], allocatable: Mapping[str, object]
) -> Hardware:
    """Read one node's GPUs; never raises."""
    labels = {key: value for key, value in labels.items() if key.startswith(_SPEAKERS)}
    devices = tuple(
        sorted((name, whole(n)) for name, n in allocatable.items() if isinstance(name, str) and is_gpu_resource(name))
    )
    if _speaks_amd(labels, devices):
        return _amd(labels, devices)
    if _speaks_intel(labels, devices):
        return _intel(labels, devices)
    return _nvidia(labels, annotations, devices)


def _nvidia(
    labels: Mapping[str, str], annotations: Mapping[str, str], devices: tuple[tuple[str, int], ...]
) -> Hardware:
    named = clouds.gpu_facts(labels, annotations)
    product = labels.get("nvidia.com/gpu.product") or None
    memory = _memory_mib(labels.get("nvidia.com/gpu.memory"))
    count = number(labels.get("nvidia.com/gpu.count"))
    spoken = named or product or any(key.startswith("nvidia.com/") and "gpu" in key for key in labels)
    spoken = spoken or clouds.NFD_NVIDIA in labels or any(name.startswith("nvidia.com/") for name, _ in devices)
    split = named.split if named else 1
    return Hardware(
        vendor=Vendor.NVIDIA if spoken else None,
        product_text=product or (named.product if named else None),
        product_from="nvidia.com/gpu.product" if product else (named.source if named else ""),
        memory_mib=memory if memory is not None else (named.memory_mib if named else None),
        label_count=count if count is not None else (named.count if named else None),
        allocatable=devices,
        compute=_compute(labels),
        mig=_mig(labels, devices, product),
        sharing=_sharing(labels, devices, product) or (Sharing("hami", split) if split > 1 else None),
        clique=labels.get("nvidia.com/gpu.clique") or None,
        vgpu=labels.get("nvidia.com/vgpu.present") == "true",
    )


def _compute(labels: Mapping[str, str]) -> tuple[int, int] | None:
    major, minor = (number(labels.get(f"nvidia.com/gpu.compute.{part}")) for part in ("major", "minor"))
    return (major, minor or 0) if major is not None else None


def _memory_mib(value: str | None) -> int | None:
    """Memory of one device in MiB; a bare number is MiB, or bytes where it could not be."""
    bare = number(value)
    if bare is not None:
        mib = bare // _MIB if bare > _LARGEST_GPU_MIB else bare
        return mib or None
    amount = quantity((value or "").removesuffix("B"))
    return int(amount // _MIB) or None if amount is not None and amount > 0 else None


def _mig(labels: Mapping[str, str], devices: tuple[tuple[str, int], ...], product: str | None) -> Mig | None:
    """Whether MIG is on. The strategy label alone says nothing: it is a setting of the cluster, not of the card."""
    found = [match for key in labels if (match := _MIG_LABEL.match(key))]
    counts = {match[1]: number(labels[match[0]]) or 0 for match in found if match[2] == "count"}
    for name, count in devices:
        if name.startswith(MIG_PREFIX) and not found:
            counts[name.removeprefix(MIG_PREFIX)] = count
    if counts:
        return Mig("mixed", profiles=tuple(sorted(counts.items())))
    if suffix := _MIG_PRODUCT.search(product or ""):
        return Mig("single", suffix[1].lower())
    config = labels.get("nvidia.com/mig.config", "")
    if product is None and config.startswith("all-") and config not in ("all-disabled", "all-enabled"):
        return Mig(labels.get("nvidia.com/mig.strategy", "single"), config.removeprefix("all-"))
    return None


def _sharing(labels: Mapping[str, str], devices: tuple[tuple[str, int], ...], product: str | None) -> Sharing | None:
    """Time-slicing or MPS; `gpu.replicas` is 0 or 1 where GPUs are not shared."""
    strategy = labels.get("nvidia.com/gpu.sharing-strategy", "")
    replicas = number(labels.get("nvidia.com/gpu.replicas")) or 0
    renamed = sum(count for name, count in devices if name.endswith(SHARED_SUFFIX))
    suffixed = (product or "").upper().endswith("-SHARED")
    if not suffixed and not renamed and replicas <= 1 and strategy in ("", "none"):
        return None
    return Sharing(strategy if strategy not in ("", "none") else "time-slicing", max(replicas, 1))


def _speaks_amd(labels: Mapping[str, str], devices: tuple[tuple[str, int], ...]) -> bool:
    listed = {name for name, _ in devices}
    amd = "amd.com/gpu" in listed or any(key.startswith(("amd.com/gpu.", "beta.amd.com/gpu.")) for key in labels)
    return amd and not any(name.startswith("nvidia.com/") for name, count in devices if count)


def _amd(labels: Mapping[str, str], devices: tuple[tuple[str, int], ...]) -> Hardware:
    """Read AMD's labeller; its older form puts the value into the key and the count into the value."""
    beta = {what: _in_key(labels, f"beta.amd.com/gpu.{what}.") for what in ("product-name", "vram", "device-id")}

    def one(what: str) -> str | None:
        old = beta[what]
        return (
            labels.get(f"amd.com/gpu.{what}")
            or labels.get(f"beta.amd.com/gpu.{what}")
            or (next(iter(old)) if old else None)
        )

    counts = [sum(old.values()) for old in (*beta.values(), _in_key(labels, "beta.amd.com/gpu.family.")) if old]
    product = one("product-name")
    return Hardware(
        vendor=Vendor.AMD, product_text=product, product_from="amd.com/gpu.product-name" if product else "",
        memory_mib=_memory_mib(f"{vram}i" if (vram := one("vram") or "").endswith(("G", "M", "T")) else vram),
        label_count=max(counts) if counts else None, allocatable=devices, device_id=one("device-id"),
        several_products=tuple(sorted(beta["device-id"])) if len(beta["device-id"]) > 1 else (),
        partition=_partition(labels),
    )  # fmt: skip


def _partition(labels: Mapping[str, str]) -> str:
    """The mode in which AMD cards are cut into several devices (`cpx_nps4`); empty where each is whole (`spx_nps1`)."""
    modes = sorted(value.lower() for key, value in labels.items() if key.endswith("compute-memory-partition"))
    return next((mode for mode in modes if mode and not mode.startswith("spx")), "")


def _in_key(labels: Mapping[str, str], prefix: str) -> dict[str, int]:
    """`beta.amd.com/gpu.vram.16G=1` -> {"16G": 1}."""
    found = {key.removeprefix(prefix): number(value) for key, value in labels.items() if key.startswith(prefix)}
    return dict(sorted((key, count) for key, count in found.items() if count))


def _speaks_intel(labels: Mapping[str, str], devices: tuple[tuple[str, int], ...]) -> bool:
    intel = {name for name, _ in devices if WHOLE.get(name) is Vendor.INTEL}
    said = bool(intel) or any(key.startswith(("gpu.intel.com/", "habana.ai/")) for key in labels)
    return said and not any(name.startswith("nvidia.com/") for name, count in devices if count)


def _intel(labels: Mapping[str, str], devices: tuple[tuple[str, int], ...]) -> Hardware:
    product = labels.get("gpu.intel.com/product") or labels.get("habana.ai/product") or clouds.intel_product(labels)
    return Hardware(
        vendor=Vendor.INTEL, product_text=product, product_from="gpu.intel.com/product" if product else "",
        memory_mib=_memory_mib(labels.get("gpu.intel.com/memory")),
        label_count=number(labels.get("gpu.intel.com/gpu.count")), allocatable=devices,
    )  # fmt: skip
