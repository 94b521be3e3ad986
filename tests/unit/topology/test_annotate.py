"""What the tools say is written so that the inventory reads the same islands."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from shardwright.api import labels
from shardwright.commands import annotate_node
from shardwright.inventory.annotations import read_links
from shardwright.topology import Adapter, UnreadableTopologyError, annotations_of, read_reading, read_topology

DATA = Path(__file__).parents[2] / "data" / "topology"
DUMPS = sorted([*DATA.glob("topo/*.txt"), *DATA.glob("rocm-topo/*.txt")])


@pytest.mark.parametrize("path", DUMPS, ids=lambda path: path.stem)
def test_the_inventory_reads_back_what_was_written(path: Path) -> None:
    text = path.read_text()
    try:
        topology = read_topology(text)
    except UnreadableTopologyError:
        return
    written = annotations_of(read_reading(text))
    if topology.gpus == 1:
        assert labels.GPU_ISLANDS not in written
        return
    links = read_links(written, topology.gpus)
    assert links.problems == ()
    assert links.islands == topology.islands
    assert links.link is not None


KINDS = {
    "01-gh200x4": "nvlink-mesh",
    "07-a100x8": "nvswitch",
    "08-h100x8": "nvswitch",
    "26-v100x8": "nvlink-mesh",
    "25-v100x4": "nvlink-mesh",
    "39-gb200x4": "nvswitch",
    "46-h100-pcie": "nvlink-bridge",
    "49-a6000x3": "nvlink-bridge",
    "03-rtxpro6000": "pcie-switch",
    "09-8gpu-all-sys": "pcie",
    "05-2gpu-nv2": "nvlink-bridge",
}


@pytest.mark.parametrize(("start", "kind"), KINDS.items())
def test_kind_of_link(start: str, kind: str) -> None:
    (path,) = (DATA / "topo").glob(f"{start}*")
    assert annotations_of(read_reading(path.read_text()))[labels.GPU_LINK] == kind


def test_islands_inside_numa_nodes_are_nested() -> None:
    text = (DATA / "topo" / "50-a40x8-bridge-pairs-ellipsis-columns.txt").read_text()
    assert annotations_of(read_reading(text))[labels.GPU_ISLANDS] == "((0-1),(2-3));((4-5),(6-7))"


@pytest.mark.parametrize(
    ("adapters", "kind", "bandwidth"),
    [
        (
            [Adapter(f"mlx5_{n}", "InfiniBand", "400 Gb/sec (4X NDR)", "4: ACTIVE", "mlx5_core") for n in range(8)],
            "infiniband",
            "400Gb/s",
        ),
        (
            [
                Adapter("mlx5_0", "Ethernet", "200 Gb/sec (4X HDR)", "4: ACTIVE", "mlx5_core"),
                Adapter("mlx5_1", "Ethernet", "25 Gb/sec (1X EDR)", "4: ACTIVE", "mlx5_core"),
                Adapter("mlx5_2", "InfiniBand", "200 Gb/sec (4X HDR)", "1: DOWN", "mlx5_core"),
            ],
            "roce",
            "25Gb/s",
        ),
        (
            [Adapter(f"rdmap{n}", "Unspecified", "100 Gb/sec (4X EDR)", "4: ACTIVE", "efa") for n in range(4)],
            "efa",
            "50Gb/s",
        ),
    ],
    ids=["infiniband", "roce beside storage", "efa"],
)
def test_fabric_from_sysfs(adapters: list[Adapter], kind: str, bandwidth: str) -> None:
    text = (DATA / "topo" / "08-h100x8-nv18-no-nic.txt").read_text()
    written = annotations_of(read_reading(text), adapters)
    assert (written[labels.NET_KIND], written[labels.NET_BANDWIDTH_PER_GPU]) == (kind, bandwidth)
    assert read_links(written, 8).problems == ()


def test_the_command_reads_sysfs_and_prints(tmp_path: Path) -> None:
    port = tmp_path / "class" / "infiniband" / "mlx5_0" / "ports" / "1"
    port.mkdir(parents=True)
    for name, content in {
        "link_layer": "InfiniBand\n",
        "rate": "400 Gb/sec (4X NDR)\n",
        "state": "4: ACTIVE\n",
    }.items():
        (port / name).write_text(content)
    (port.parent.parent / "device").mkdir()
    dump = DATA / "topo" / "08-h100x8-nv18-no-nic.txt"
    app = annotate_node.typer.Typer()
    app.command()(annotate_node.command)
    done = CliRunner().invoke(app, ["--dry-run", "--topology", str(dump), "--sysfs", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert yaml.safe_load(done.stdout) == {
        labels.GPU_LINK: "nvswitch",
        labels.GPU_ISLANDS: "0-7",
        labels.GPU_NUMA: "0-3=0;4-7=1",
        labels.NET_KIND: "infiniband",
        labels.NET_BANDWIDTH_PER_GPU: "50Gb/s",
    }


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    broken = tmp_path / "broken.txt"
    broken.write_text("No devices were found\n")
    app = annotate_node.typer.Typer()
    app.command()(annotate_node.command)
    done = CliRunner().invoke(app, ["--dry-run", "--topology", str(broken)])
    assert done.exit_code == 1
    assert "no GPU matrix" in done.stderr
