"""What copies do to a matrix, one at a time, and what must not be guessed."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardwright.topology import Tier, UnreadableTopologyError, read_reading, read_topology

DATA = Path(__file__).parents[2] / "data" / "topology"
QUADS = ((0, 1, 2, 3), (4, 5, 6, 7))


def matrix(
    islands: tuple[tuple[int, ...], ...], inside: str, across: str, *, separator: str = "\t", numa: bool = False
) -> str:
    gpus = [gpu for island in islands for gpu in island]
    of = {gpu: island for island in islands for gpu in island}
    lines = [
        separator
        + separator.join(f"GPU{gpu}" for gpu in sorted(gpus))
        + (f"{separator}CPU Affinity{separator}NUMA Affinity" if numa else "")
    ]
    for a in sorted(gpus):
        cells = [" X " if a == b else (inside if of[a] == of[b] else across) for b in sorted(gpus)]
        tail = f"{separator}0-31{separator}{islands.index(of[a])}" if numa else ""
        lines.append(f"GPU{a}{separator}" + separator.join(cells) + tail)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("inside", "across", "tier"),
    [
        ("NV12", "SYS", Tier.NVLINK),
        ("PIX", "NODE", Tier.PCIE_SWITCH),
        ("PXB", "PHB", Tier.PCIE_SWITCH),
        ("NV4", "PIX", Tier.NVLINK),
    ],
)
def test_best_link_makes_the_islands(inside: str, across: str, tier: Tier) -> None:
    found = read_topology(matrix(QUADS, inside, across))
    assert (found.link, found.islands) == (tier, QUADS)


def test_numa_column_decides_where_no_link_does() -> None:
    assert read_topology(matrix(QUADS, "SYS", "SYS", numa=True)).islands == QUADS
    assert read_topology(matrix(QUADS, "NODE", "SYS")).islands == QUADS


EDITS = {
    "colours": lambda text: "\x1b[4m" + text.replace("\n", "\x1b[0m\n", 1),
    "stripped": str.strip,
    "spaces": lambda text: text.replace("\t", "     "),
    "comment": lambda text: "\n".join("# " + line for line in text.splitlines()),
    "log prefix": lambda text: "\n".join("2026-11-21 10:00:00 worker-0 | " + line for line in text.splitlines()),
    "prompt": lambda text: "root@host:~# nvidia-smi topo -m\n" + text,
    "carriage returns": lambda text: text.replace("\n", "\r\n"),
    "fused cells": lambda text: text.replace("SYS\tSYS\tSYS\tSYS", "SYSSYS\tSYSSYS"),
    "fused numbers": lambda text: text.replace("NV12\tNV12", "NV12NV12"),
    "markdown": lambda text: "\n".join("| " + line.replace("\t", " | ") + " |" for line in text.splitlines()),
    "second matrix": lambda text: text + "\n" + matrix(QUADS, "OK", "OK"),
    "second host": lambda text: text + "\n" + matrix(((0, 1),), "PIX", "SYS"),
    "literal tabs": lambda text: text.replace("\t", "\\t"),
    "listed first": lambda text: "GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-1)\n" + text,
    "p2p first": lambda text: matrix(QUADS, "OK", "OK") + "\n" + text,
}


@pytest.mark.parametrize("edit", EDITS)
def test_copies_are_read(edit: str) -> None:
    found = read_topology(EDITS[edit](matrix(QUADS, "NV12", "SYS", numa=True)))
    assert (found.link, found.islands) == (Tier.NVLINK, QUADS)


def test_a_cut_last_row_is_filled_by_symmetry() -> None:
    text = matrix(QUADS, "NV12", "SYS")
    cut = text[: text.rindex("SYS")]
    assert read_topology(cut).islands == QUADS


def test_a_missing_row_counts_only_where_islands_depend_on_it() -> None:
    lines = matrix(QUADS, "PIX", "SYS").splitlines()
    assert read_topology("\n".join(lines[:-1])).islands == QUADS
    with pytest.raises(UnreadableTopologyError, match=r"GPU4-GPU5.* islands depend"):
        read_topology("\n".join(lines[:5]))


REFUSED = {
    "nothing": "",
    "no matrix": "No devices were found\n",
    "asymmetric": matrix(QUADS, "NV12", "SYS").replace("GPU1\tNV12", "GPU1\tSYS"),
    "diagonal": matrix(QUADS, "NV12", "SYS").replace("GPU2\tNV12\tNV12\t X ", "GPU2\tNV12\t X \tNV12"),
    "short row": matrix(QUADS, "NV12", "SYS").replace("GPU3\tNV12\tNV12\t", "GPU3\t"),
    "broken rows": matrix(QUADS, "NV12", "SYS").replace("\tSYS\tSYS\tSYS\tSYS\n", "\n\tSYS\tSYS\tSYS\tSYS\n"),
    "joined rows": matrix(QUADS, "NV12", "SYS").replace("\nGPU2", " GPU2"),
    "stranger": matrix(QUADS, "NV12", "SYS").replace("GPU7\tSYS", "GPU9\tSYS"),
    "twice": matrix(QUADS, "NV12", "SYS").replace("\tGPU7\n", "\tGPU6\n"),
    "no header, cut": "\n".join(matrix(QUADS, "NV12", "SYS").splitlines()[1:5]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused_with_what_made_no_sense(case: str) -> None:
    with pytest.raises(UnreadableTopologyError) as caught:
        read_topology(REFUSED[case])
    if case not in ("nothing", "no matrix"):
        assert caught.value.line


def test_a_whole_matrix_without_header_is_read() -> None:
    assert read_topology("\n".join(matrix(QUADS, "NV12", "SYS").splitlines()[1:])).islands == QUADS


def test_nearest_nics_by_name() -> None:
    reading = read_reading((DATA / "topo" / "01-gh200x4-jupiter-ansi.txt").read_text())
    assert reading.nics == {0: ("mlx5_0",), 1: ("mlx5_1",), 2: ("mlx5_2",), 3: ("mlx5_3",)}


def test_numa_survives_an_empty_cpu_column() -> None:
    reading = read_reading((DATA / "topo" / "20-della-x8-nv18-cgroup-masked-affinity.txt").read_text())
    assert [reading.numa[gpu] for gpu in range(8)] == ["0"] * 4 + ["1"] * 4


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=200)
    | st.lists(
        st.sampled_from(
            [
                "\tGPU0\tGPU1\n",
                "GPU0\t X \tNV4\n",
                "GPU1\tNV4\t X \n",
                "GPU1",
                "\t",
                "X",
                " NODE",
                "SYS",
                "\n",
                "[{",
                '"gpu": 0',
                "XGMI",
                "WEIGHT TABLE:\n",
                "GPU[0]\t: (Topology) Numa Node: 0\n",
                "0000:0c:00.0 ",
                "N/A",
                "\x1b[4m",
                "}]",
            ]
        ),
        max_size=30,
    ).map("".join)
)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = read_topology(text)
    except UnreadableTopologyError as error:
        assert str(error)
        return
    assert sorted(gpu for island in found.islands for gpu in island) == sorted(
        {gpu for island in found.islands for gpu in island}
    )
    assert sum(map(len, found.islands)) == found.gpus


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted((DATA / "topo").glob("*.txt"))), st.data())
def test_a_cut_dump_is_never_answered_wrongly(path: Path, data: st.DataObject) -> None:
    text = path.read_text()
    try:
        whole = read_topology(text)
    except UnreadableTopologyError:
        return
    cut = text[: data.draw(st.integers(0, len(text)))]
    try:
        found = read_topology(cut)
    except UnreadableTopologyError:
        return
    if found.gpus == whole.gpus and found.link == whole.link != Tier.NUMA:
        assert found.islands == whole.islands


def test_partitions_in_great_number_are_drawn_fast() -> None:
    hives = tuple(tuple(range(start, start + 8)) for start in range(0, 64, 8))
    assert read_topology(matrix(hives, "NV4", "SYS")).islands == hives
    ring = {(at, (at + 1) % 48) for at in range(48)}
    rows = [
        f"GPU{a}\t"
        + "\t".join("X" if a == b else ("NV1" if (a, b) in ring or (b, a) in ring else "SYS") for b in range(48))
        for a in range(48)
    ]
    found = read_topology("\t" + "\t".join(f"GPU{gpu}" for gpu in range(48)) + "\n" + "\n".join(rows))
    assert max(map(len, found.islands)) == 2


AMD_PAIR = """\
============================ ROCm System Management Interface ============================
================================ Weight between two GPUs =================================
       GPU0         GPU1
GPU0   0            40
GPU1   40           0
=============================== Link Type between two GPUs ===============================
       GPU0         GPU1
GPU0   0            PCIE
GPU1   PCIE         0
======================================= Numa Nodes =======================================
GPU[0]\t\t: (Topology) Numa Node: {0}
GPU[0]\t\t: (Topology) Numa Affinity: {0}
GPU[1]\t\t: (Topology) Numa Node: {1}
GPU[1]\t\t: (Topology) Numa Affinity: {1}
"""


@pytest.mark.parametrize(
    ("first", "second", "islands"), [("0", "0", ((0, 1),)), ("0", "1", ((0,), (1,))), ("-1", "-1", ((0,), (1,)))]
)
def test_radeon_pairs_on_pcie_are_grouped_by_numa_node(first: str, second: str, islands: object) -> None:
    found = read_topology(AMD_PAIR.format(first, second))
    assert (found.link, found.islands) == (Tier.NUMA, islands)


def test_older_and_smaller_rocm_tables() -> None:
    older = AMD_PAIR.format("0", "0").replace("GPU[", "GPU ").replace("]", " ")
    assert read_topology(older).islands == ((0, 1),)
    alone = "=== Link Type between two GPUs ===\n       GPU0\nGPU0   0\n=== End of ROCm SMI Log ==="
    assert read_topology(alone).islands == ((0,),)


def test_json_of_rocm_smi() -> None:
    pairs = {f"(Topology) Link type between DRM devices {a} and {b}": "XGMI" for a in range(4) for b in range(a)}
    cards = {f"card{gpu}": {"(Topology) Numa Node": "0"} for gpu in range(4)}
    found = read_topology(json.dumps({"system": pairs, **cards}))
    assert (found.link, found.islands) == (Tier.XGMI, ((0, 1, 2, 3),))


def test_json_of_amd_smi_in_its_newer_form() -> None:
    gpus = [
        {
            "gpu": a,
            "links": [
                {"gpu": b, "link_type": "SELF" if a == b else "XGMI" if a // 2 == b // 2 else "PCIE"} for b in range(4)
            ],
        }
        for a in range(4)
    ]
    assert read_topology(json.dumps(gpus, indent=4)).islands == ((0, 1), (2, 3))
    assert read_topology("[root@host ~]# amd-smi topology --json\n" + json.dumps(gpus, indent=4)).islands == (
        (0, 1),
        (2, 3),
    )
