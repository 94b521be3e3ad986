"""Link annotations read as docs/interconnect.md says, and a malformed one is reported alone."""

import pytest

from shardwright.api import labels
from shardwright.catalog.types import LinkKind, NetworkKind
from shardwright.inventory.annotations import parse_bandwidth, parse_islands, read_links


@pytest.mark.parametrize(
    ("text", "bytes_per_second"),
    [
        ("450GB/s", 450 * 10**9),
        ("200Gb/s", 25 * 10**9),
        ("1.5 TB/s", 1500 * 10**9),
        ("100GiB/s", 100 << 30),
        ("400Gbps", 50 * 10**9),
    ],
)
def test_bandwidth(text: str, bytes_per_second: int) -> None:
    assert parse_bandwidth(text) == bytes_per_second


@pytest.mark.parametrize(
    "text", ["450", "", "GB/s", "-1GB/s", "0GB/s", "450 GB", "fast", "1e3GB/s", "450GB/h", "4５0GB/s"]
)
def test_bandwidth_without_a_unit_or_sense(text: str) -> None:
    with pytest.raises(ValueError, match="bandwidth"):
        parse_bandwidth(text)


@pytest.mark.parametrize(
    ("text", "inner", "outer"),
    [
        ("0-3,4-7", ((0, 1, 2, 3), (4, 5, 6, 7)), ()),
        ("0-3;4-7", ((0, 1, 2, 3), (4, 5, 6, 7)), ()),
        ("4-7, 0-3", ((0, 1, 2, 3), (4, 5, 6, 7)), ()),
        ("0,5;1,2;3,4;6,7", ((0, 5), (1, 2), (3, 4), (6, 7)), ()),
        ("((0,1),(2,3));((4,5),(6,7))", ((0, 1), (2, 3), (4, 5), (6, 7)), ((0, 1, 2, 3), (4, 5, 6, 7))),
        ("(0-3);(4-7)", ((0, 1, 2, 3), (4, 5, 6, 7)), ((0, 1, 2, 3), (4, 5, 6, 7))),
        ("0-7", (tuple(range(8)),), ()),
    ],
)
def test_islands(text: str, inner: object, outer: object) -> None:
    assert parse_islands(text, 8) == (inner, outer)


@pytest.mark.parametrize(
    "text",
    ["", "0-3", "0-3,3-7", "0-8", "1-8", "7-0", "a-b", "((0,1),(2,3);(4-7)", "0-3,,4-7", "0-99999", "()", "(((0-7)))"],
)
def test_islands_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_islands(text, 8)


def test_each_malformed_annotation_is_named_and_the_rest_count() -> None:
    said = {
        labels.GPU_LINK: "nvlink",
        labels.GPU_LINK_BANDWIDTH: "450",
        labels.GPU_ISLANDS: "0-3",
        labels.GPU_NICS: "mlx5_0",
        labels.NVLINK_DOMAIN: "",
        labels.NET_KIND: "roce",
        labels.NET_BANDWIDTH_PER_GPU: "200Gb/s",
        labels.FABRIC_DOMAIN: "leaf-1",
        labels.CROSS_ISLAND_BANDWIDTH: "32GB/s",
    }
    links = read_links(said, 8)
    assert len(links.problems) == 5
    assert all("is ignored" in problem and "shardwright.io/" in problem for problem in links.problems)
    assert (links.network, links.network_bandwidth, links.fabric_domain) == (NetworkKind.ROCE, 25 * 10**9, "leaf-1")
    assert links.cross_island_bandwidth == 32 * 10**9


def test_nics_and_link_kinds() -> None:
    links = read_links({labels.GPU_LINK: "nvswitch", labels.GPU_NICS: "0-3=mlx5_0;4-7=mlx5_1"}, 8)
    assert links.link is LinkKind.NVSWITCH
    assert links.nics == ((((0, 1, 2, 3),), "mlx5_0"), (((4, 5, 6, 7),), "mlx5_1"))
