"""Every product is found by every spelling, and its row makes sense."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardwright.catalog.load import gpu_catalog
from shardwright.catalog.types import GpuProduct, LinkKind, NetworkKind, Vendor

CATALOG = gpu_catalog()


def name(text: str, memory_mib: int | None = None) -> str | None:
    found = CATALOG.find(text, memory_mib=memory_mib)
    return found.product.name if found else None


@pytest.mark.parametrize("product", CATALOG.products, ids=lambda product: product.name)
def test_every_label_and_name_finds_its_row_without_assumptions(product: GpuProduct) -> None:
    for text in (
        product.name,
        *product.labels,
        *(label.replace("-", " ").replace("_", " ") for label in product.labels),
    ):
        found = CATALOG.find(text)
        assert found is not None
        assert found.product is product
        if text == product.name or text in product.labels:
            assert not found.assumptions
            assert CATALOG.find(f"{text}-SHARED").shared  # type: ignore[union-attr]
            assert CATALOG.find(f"{text}-MIG-1g.10gb").mig_profile == "1g.10gb"  # type: ignore[union-attr]


@pytest.mark.parametrize("product", CATALOG.products, ids=lambda product: product.name)
def test_every_row_makes_sense(product: GpuProduct) -> None:
    assert product.memory_gib * 1024 * 0.9 < product.memory_bytes / 2**20 <= product.memory_gib * 1024 * 1.05
    if product.label_memory_mib:
        assert product.label_memory_mib * 0.93 < product.memory_bytes / 2**20 <= product.label_memory_mib
    assert (product.compute_capability is not None) == (product.vendor is Vendor.NVIDIA)
    if product.compute_capability:
        assert (product.bf16_flops > 0) == (product.compute_capability >= (8, 0))
        assert (product.fp8_flops > 0) == (product.compute_capability >= (8, 9))
        assert (product.fp4_flops > 0) == (product.compute_capability >= (10, 0))
    assert product.memory_bandwidth > 10**11
    assert product.scale_up_domain >= 1
    assert product.link_bandwidth > 0 or product.link is LinkKind.NONE
    assert bool(product.bridge_gpus) == bool(product.bridge_bandwidth)
    assert product.source


def test_names_and_labels_are_unique() -> None:
    spellings = Counter(text for product in CATALOG.products for text in {product.name, *product.labels})
    assert [text for text, count in spellings.items() if count > 1] == []


WORDS = {
    "H100": "H100-SXM",
    "h100": "H100-SXM",
    "A100": "A100-SXM4-80GB",
    "MI300X": "MI300X",
    "RTX 3090": "RTX-3090",
    "GB200": "GB200",
    "H100 PCIe": "H100-PCIe",
    "H100 NVL": "H100-NVL",
    "NVIDIA H100 80GB HBM3": "H100-SXM",
    "H200": "H200-SXM",
    "H200 NVL": "H200-NVL",
    "A100 40GB": "A100-SXM4-40GB",
    "A100 80GB PCIe": "A100-80GB-PCIe",
    "a100-40gb": "A100-SXM4-40GB",
    "V100": "V100-SXM2-32GB",
    "GeForce RTX 4090": "RTX-4090",
    "rtx4090": "RTX-4090",
    "rtxa6000": "RTX-A6000",
    "RTX 6000 Ada": "RTX-6000-Ada",
    "Quadro RTX 6000": "Quadro-RTX-6000",
    "RTX PRO 6000 Blackwell": "RTX-PRO-6000-Server",
    "nvidia-tesla-t4": "T4",
    "nvidia-h100-mega-80gb": "H100-SXM",
    "nvidia-h200-141gb": "H200-SXM",
    "nvidia-l4": "L4",
    "AMD Instinct MI300X": "MI300X",
    "MI325": "MI325X",
    "Gaudi 3": "Gaudi3",
    "Intel Arc Pro B60": "Arc-Pro-B60",
    "GB10 (DGX Spark)": "GB10",
    "DGX Spark": "GB10",
    "H100/H200": "H100-SXM",
    "B100/B200": "B200",
    "RTX 5090 Laptop": "RTX-5090-Laptop",
    "H100-SXM5-80GB": "H100-SXM",
}


@pytest.mark.parametrize(("words", "product"), WORDS.items())
def test_marketing_words(words: str, product: str) -> None:
    assert name(words) == product


@pytest.mark.parametrize("words", ["", "H", "Z900", "GTX 1080", "H100 7GB", "-", "A100/", "nvidia"])
def test_what_is_no_product(words: str) -> None:
    assert name(words) in (None, "A100-SXM4-80GB" if words.startswith("A100") else None)


def test_memory_tells_members_of_a_family_apart_and_the_rest_is_an_assumption() -> None:
    assert name("A100", 40960) == "A100-SXM4-40GB"
    assert name("H100", 94 * 1024) == "H100-NVL"
    assert name("GH200", 144 * 1024) == "GH200-144GB"
    found = CATALOG.find("H100")
    assert found is not None
    assert "H100-PCIe" in found.assumptions[0]


def test_device_ids_of_machines_that_hide_the_name() -> None:
    found = CATALOG.find_device(Vendor.AMD, "74B5")
    assert found is not None
    assert found.name == "MI300X"
    assert CATALOG.find_device(Vendor.NVIDIA, "74b5") is None


def test_a_stand_in_is_never_faster_than_what_is_known_of_its_generation() -> None:
    found = CATALOG.stand_in(Vendor.NVIDIA, 100_000, (9, 0), "NVIDIA-H150")
    assert found is not None
    assert found.product.bf16_flops == min(p.bf16_flops for p in CATALOG.products if p.compute_capability == (9, 0))
    assert found.product.memory_bytes == 98_000 * 2**20
    assert found.assumptions
    assert CATALOG.stand_in(Vendor.NVIDIA, 100_000, None, "NVIDIA-H150") is None
    assert CATALOG.stand_in(Vendor.NVIDIA, 0, (9, 0), "NVIDIA-H150") is None


def test_every_link_and_network_has_a_latency() -> None:
    assert set(CATALOG.link_latency_us) == set(LinkKind)
    assert set(CATALOG.network_latency_us) == set(NetworkKind)


@given(st.text(max_size=40), st.integers(-5, 1 << 40) | st.none())
def test_any_text_has_an_answer(text: str, memory_mib: int | None) -> None:
    CATALOG.find(text, memory_mib=memory_mib)
