"""The catalogue's rows, read once from package data, and how a text finds its row.

This is the one place of the core that reads files, and only those beside it. It knows no cluster and no model's maths.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from shardwright.catalog.types import GpuMatch, GpuProduct, LinkKind, NetworkKind, Vendor
from shardwright.catalog.words import STRICT_FORMS, GpuWords, read_words

MIB = 1 << 20
UNKNOWN_MEMORY_PERCENT = 98
"""Of the label's memory, what the runtime of an unknown product is taken to report."""
_SAME_MEMORY_PERCENT = 12
"""Sold, labelled and reported memory of one product differ by less than this."""


@dataclass(frozen=True, slots=True)
class GpuCatalog:
    """Every GPU product we know, found by label, driver name, marketing word or device id."""

    products: tuple[GpuProduct, ...]
    link_latency_us: Mapping[LinkKind, int]
    network_latency_us: Mapping[NetworkKind, int]
    _verbatim: Mapping[str, GpuProduct] = field(repr=False)
    _exact: Mapping[str, GpuProduct] = field(repr=False)
    _families: Mapping[str, tuple[GpuProduct, ...]] = field(repr=False)
    _devices: Mapping[tuple[Vendor, str], GpuProduct] = field(repr=False)

    def get(self, name: str) -> GpuProduct | None:
        """Our own name exactly, such as `H100-SXM`."""
        return next((product for product in self.products if product.name == name), None)

    def find(self, text: str, *, memory_mib: int | None = None) -> GpuMatch | None:
        """Find the product that a label value or a user's word means; None when nothing of that name is known.

        `memory_mib` (of a label, or as sold) tells members of one family apart. What was guessed is in `assumptions`.
        """
        for part in [text, *text.split("/")] if "/" in text else [text]:
            words = read_words(part)
            found = self._exactly(part, words) or self._by_family(words, memory_mib)
            if found:
                other = () if part == text else (f'"{text}" names several products: taken as {found[0].name}',)
                return GpuMatch(found[0], other + found[1], words.mig_profile, words.shared)
        return None

    def find_device(self, vendor: Vendor, device_id: str) -> GpuProduct | None:
        """Find a product by its PCI device id, four hex digits."""
        return self._devices.get((vendor, device_id.lower().removeprefix("0x")))

    def stand_in(self, vendor: Vendor, memory_mib: int, compute: tuple[int, int] | None, name: str) -> GpuMatch | None:
        """Plan an unknown product from its labels: memory from the label, speed of the slowest known of its kind.

        None when not even the compute capability (NVIDIA) is known, so that nothing could be said about dtypes.
        """
        alike = [p for p in self.products if p.vendor is vendor and (vendor is not Vendor.NVIDIA or _near(p, compute))]
        if not alike or memory_mib <= 0:
            return None
        exactly = [product for product in alike if product.compute_capability == compute]
        slowest = min(exactly or alike, key=lambda p: (p.bf16_flops or p.fp16_flops, p.memory_bandwidth, p.name))
        product = replace(
            slowest, name=name, family=name, form="", labels=(name,), label_memory_mib=memory_mib, source="node labels",
            memory_bytes=memory_mib * MIB * UNKNOWN_MEMORY_PERCENT // 100, memory_gib=0,
            compute_capability=compute or slowest.compute_capability, link=LinkKind.PCIE, scale_up_domain=1,
            link_bandwidth=slowest.pcie_bandwidth, bridge_bandwidth=0, bridge_gpus=0,
        )  # fmt: skip
        return GpuMatch(
            product,
            (
                f"{name} is not in the catalogue: memory is its label's {memory_mib} MiB less "
                f"{100 - UNKNOWN_MEMORY_PERCENT} %, speed that of {slowest.name}, links PCIe",
            ),
        )

    def _exactly(self, text: str, words: GpuWords) -> tuple[GpuProduct, tuple[str, ...]] | None:
        """Our name or a label as it is written, else a spelling that belongs to one product only."""
        product = self._verbatim.get(text.strip().lower()) or self._exact.get(words.key)
        return (product, ()) if product else None

    def _by_family(self, words: GpuWords, memory_mib: int | None) -> tuple[GpuProduct, tuple[str, ...]] | None:
        """Narrow a family down by form, then by memory; more than one left is an assumption."""
        family = self._families.get(words.family, ())
        said = words.form
        fitting = tuple(p for p in family if p.form == said) if said else tuple(p for p in family if p.form != "laptop")
        if said and not fitting:
            fitting = () if said in STRICT_FORMS and any(p.form for p in family) else family
        sized = tuple(p for p in fitting if _has_memory(p, words.memory_gib * 1024)) if words.memory_gib else fitting
        if not sized:
            return None
        hinted = tuple(p for p in sized if _has_memory(p, memory_mib or 0)) or sized
        if len(hinted) == 1:
            return hinted[0], ()
        others = ", ".join(p.name for p in hinted[1:])
        return hinted[0], (f'"{words.key}" is taken as {hinted[0].name}; it could also be {others}',)


def _has_memory(product: GpuProduct, mib: int) -> bool:
    """Whether this could be the product's memory, however it was counted."""
    known = product.memory_gib * 1024
    return abs(mib - known) * 100 <= known * _SAME_MEMORY_PERCENT


def _near(product: GpuProduct, compute: tuple[int, int] | None) -> bool:
    """Whether a known product is of the same CUDA generation."""
    known = product.compute_capability
    return compute is not None and known is not None and known[0] == compute[0]


@cache
def gpu_catalog() -> GpuCatalog:
    """Read the catalogue of GPU products, once in a process."""
    with files("shardwright.catalog").joinpath("gpus.yaml").open("rb") as stream:
        document = yaml.load(stream, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    rows: list[dict[str, Any]] = document["products"]
    products = tuple(map(_product, rows))
    verbatim: dict[str, GpuProduct] = {}
    exact: dict[str, GpuProduct] = {}
    families: dict[str, tuple[GpuProduct, ...]] = {}
    for product, row in zip(products, rows, strict=True):
        for spelling in [product.name, *product.labels, *row.get("words", ())]:
            verbatim.setdefault(spelling.lower(), product)
            exact.setdefault(read_words(spelling).key, product)
        family = read_words(product.family).family
        families[family] = (*families.get(family, ()), product)
    for family in [name for name, members in families.items() if len(members) > 1]:
        exact.pop(family, None)
    return GpuCatalog(
        products,
        {LinkKind(kind): latency for kind, latency in document["link_latency_us"].items()},
        {NetworkKind(kind): latency for kind, latency in document["network_latency_us"].items()},
        verbatim,
        exact,
        families,
        dict(_device_ids(products, rows)),
    )


def _device_ids(
    products: Iterable[GpuProduct], rows: Iterable[Mapping[str, Any]]
) -> Iterable[tuple[tuple[Vendor, str], GpuProduct]]:
    for product, row in zip(products, rows, strict=True):
        for device_id in row.get("device_ids", ()):
            yield (product.vendor, device_id), product


def _product(row: Mapping[str, Any]) -> GpuProduct:
    """One row, in bytes and operations a second."""
    major, _, minor = str(row.get("compute", "")).partition(".")
    return GpuProduct(
        name=row["name"], vendor=Vendor(row["vendor"]), memory_bytes=row["runtime_mib"] * MIB,
        compute_capability=(int(major), int(minor)) if major else None,
        bf16_flops=_tera(row["bf16"]), fp16_flops=_tera(row["fp16"]),
        fp8_flops=_tera(row["fp8"]), fp4_flops=_tera(row["fp4"]),
        memory_bandwidth=_giga(row["memory_gbs"]), link=LinkKind(row["link"]), link_bandwidth=_giga(row["link_gbs"]),
        scale_up_domain=row["domain"], source=", ".join([*row["source"], f"memory {row['runtime_basis']}"]),
        family=row["family"], form=row.get("form", ""), labels=tuple(row["labels"]), label_memory_mib=row["label_mib"],
        memory_gib=row["memory_gib"], architecture=row.get("architecture", ""), pcie_bandwidth=_giga(row["pcie_gbs"]),
        bridge_bandwidth=_giga(row.get("bridge_gbs", 0)), bridge_gpus=row.get("bridge_gpus", 0),
        unified_memory=row.get("unified_memory", False),
    )  # fmt: skip


def _tera(value: float) -> int:
    return round(value * 10**12)


def _giga(value: float) -> int:
    return round(value * 10**9)
