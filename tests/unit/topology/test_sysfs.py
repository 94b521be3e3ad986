"""What the kernel lists under /sys is read: adapters near each GPU, NUMA nodes, the speed of networks."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shardwright.api import labels
from shardwright.commands import annotate_node
from shardwright.commands.sysfs import read_adapters, read_machine
from shardwright.inventory.annotations import read_links
from shardwright.topology import Machine, UnreadableTopologyError, annotations_of, read_reading

DATA = Path(__file__).parents[2] / "data" / "topology"
DUMPS = sorted([*DATA.glob("topo/*.txt"), *DATA.glob("rocm-topo/*.txt")])
KEPT = Path(__file__).parent / "annotations.json"
H100 = DATA / "topo" / "08-h100x8-nv18-no-nic.txt"


class Sysfs:
    """A /sys with PCI devices below bridges, RDMA ports and Ethernet interfaces."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "bus/pci/devices").mkdir(parents=True)

    def device(self, path: str, vendor: str, kind: str, numa: int = -1) -> Path:
        """`path`: PCI addresses from the root bus down, divided by /."""
        folder = self.root / "devices" / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in {"vendor": vendor, "class": kind, "numa_node": numa}.items():
            (folder / name).write_text(f"{content}\n")
        (self.root / "bus/pci/devices" / folder.name).symlink_to(folder)
        return folder

    def gpu(self, path: str, numa: int = -1, vendor: str = "0x10de", kind: str = "0x030200") -> None:
        self.device(path, vendor, kind, numa)

    def adapter(
        self, name: str, path: str, numa: int = -1, *, rate: str = "400 Gb/sec (4X NDR)", layer: str = "InfiniBand",
        state: str = "4: ACTIVE", driver: str = "mlx5_core",
    ) -> None:  # fmt: skip
        folder = self.device(path, "0x15b3", "0x020700", numa)
        (self.root / "drivers" / driver).mkdir(parents=True, exist_ok=True)
        (folder / "driver").symlink_to(self.root / "drivers" / driver)
        port = folder / "infiniband" / name / "ports" / "1"
        port.mkdir(parents=True)
        for file, content in {"link_layer": layer, "rate": rate, "state": state}.items():
            (port / file).write_text(f"{content}\n")
        (folder / "infiniband" / name / "device").symlink_to(folder)
        (self.root / "class/infiniband").mkdir(parents=True, exist_ok=True)
        (self.root / "class/infiniband" / name).symlink_to(folder / "infiniband" / name)

    def interface(self, name: str, speed: str, state: str = "up", *, physical: bool = True) -> None:
        folder = self.root / "class/net" / name
        folder.mkdir(parents=True)
        (folder / "speed").write_text(speed)
        (folder / "operstate").write_text(f"{state}\n")
        if physical:
            (folder / "device").mkdir()

    def annotations(self, dump: Path | None = None) -> dict[str, str]:
        reading = read_reading(dump.read_text()) if dump else None
        return annotations_of(reading, list(read_adapters(self.root)), read_machine(self.root))


@pytest.fixture
def sysfs(tmp_path: Path) -> Sysfs:
    return Sysfs(tmp_path)


def hgx(sysfs: Sysfs) -> None:
    """Eight GPUs, each behind a switch with an adapter of its own; storage and NVSwitches beside them."""
    for at in range(8):
        root = f"pci0000:{at:x}0/0000:{at:x}0:01.0/0000:{at:x}1:00.0"
        sysfs.gpu(f"{root}/0000:{at:x}2:00.0/0000:{at:x}3:00.0", at // 4)
        sysfs.adapter(f"mlx5_{at}", f"{root}/0000:{at:x}2:01.0/0000:{at:x}4:00.0", at // 4)
    sysfs.adapter("mlx5_8", "pci0000:00/0000:00:1f.0/0000:0f:00.0", 0, rate="100 Gb/sec (4X EDR)", layer="Ethernet")
    sysfs.gpu("pci0000:00/0000:00:1e.0/0000:0e:00.0", 0, kind="0x068000")  # an NVSwitch
    sysfs.interface("ens1f0", "100000\n")


RAILS = ";".join(f"{gpu}=mlx5_{gpu}" for gpu in range(8))


def test_an_hgx_node_by_kernel_and_tool(sysfs: Sysfs) -> None:
    hgx(sysfs)
    written = sysfs.annotations(H100)
    assert written == {
        labels.GPU_LINK: "nvswitch", labels.GPU_ISLANDS: "0-7", labels.GPU_NICS: RAILS, labels.GPU_NUMA: "0-3=0;4-7=1",
        labels.NET_KIND: "infiniband", labels.NET_BANDWIDTH_PER_GPU: "400Gb/s",
    }  # fmt: skip
    assert read_links(written, 8).problems == ()


def test_without_a_tool_nothing_is_said_of_links(sysfs: Sysfs) -> None:
    hgx(sysfs)
    written = sysfs.annotations()
    assert set(written) == {labels.GPU_NICS, labels.GPU_NUMA, labels.NET_KIND, labels.NET_BANDWIDTH_PER_GPU}
    assert written[labels.GPU_NICS] == RAILS


def test_the_fabric_alone_is_near(sysfs: Sysfs) -> None:
    """The tool's table names a storage adapter as nearest; it is no part of the fabric."""
    for at in range(2):
        sysfs.gpu(f"pci0000:{at}0/0000:{at}0:01.0/0000:{at}1:00.0", at)
        sysfs.adapter(f"mlx5_{at}", f"pci0000:{at}0/0000:{at}0:02.0/0000:{at}2:00.0", at, layer="Ethernet")
    sysfs.adapter("mlx5_bond_0", "pci0000:00/0000:00:01.0/0000:05:00.0", 0, rate="25 Gb/sec (1X EDR)", layer="Ethernet")
    written = sysfs.annotations()
    assert written[labels.GPU_NICS] == "0=mlx5_0;1=mlx5_1"
    assert (written[labels.NET_KIND], written[labels.NET_BANDWIDTH_PER_GPU]) == ("roce", "400Gb/s")


def test_names_that_the_legend_lacks_come_from_the_kernel(sysfs: Sysfs) -> None:
    dump = DATA / "topo" / "76-h100x8-9nic-reversed-order-cut.txt"
    assert labels.GPU_NICS not in annotations_of(read_reading(dump.read_text()))
    hgx(sysfs)
    assert sysfs.annotations(dump)[labels.GPU_NICS] == RAILS


def test_gpus_that_the_tool_does_not_show_are_not_mixed_up(sysfs: Sysfs) -> None:
    hgx(sysfs)
    written = sysfs.annotations(DATA / "topo" / "53-4gpu-nv4-pairs-odd-even-cpus.txt")
    assert labels.GPU_NICS not in written


def test_amd_and_efa(sysfs: Sysfs) -> None:
    sysfs.gpu("pci0000:00/0000:00:01.0/0000:01:00.0", 0, "0x1002", "0x120000")
    sysfs.adapter(
        "rdmap0", "pci0000:00/0000:00:01.0/0000:02:00.0", 0, rate="100 Gb/sec", layer="Unspecified", driver="efa"
    )
    written = sysfs.annotations()
    assert (written[labels.NET_KIND], written[labels.GPU_NICS]) == ("efa", "0=rdmap0")


@pytest.mark.parametrize(
    ("interfaces", "bandwidth"),
    [
        ({"eth0": ("25000", "up", True), "eth1": ("100000", "up", True)}, "50000Mb/s"),
        ({"eth0": ("100000", "down", True), "eth1": ("10000", "up", True)}, "5000Mb/s"),
        ({"veth1": ("10000", "up", False), "eth0": ("-1", "up", True)}, None),
        ({}, None),
    ],
)
def test_without_rdma_the_network_is_ethernet(sysfs: Sysfs, interfaces: dict, bandwidth: str | None) -> None:
    for at in range(2):
        sysfs.gpu(f"pci0000:00/0000:00:0{at}.0")
    sysfs.adapter("mlx5_0", "pci0000:00/0000:00:08.0", state="1: DOWN")
    for name, (speed, state, physical) in interfaces.items():
        sysfs.interface(name, f"{speed}\n", state, physical=physical)
    written = sysfs.annotations()
    assert written.get(labels.NET_BANDWIDTH_PER_GPU) == bandwidth
    assert written.get(labels.NET_KIND) == (bandwidth and "tcp")
    assert labels.GPU_NUMA not in written, "the machine does not say"
    assert read_links(written, 2).problems == ()


@pytest.mark.parametrize("content", ["", "x", "\xff", "0x10de"])
def test_odd_files_are_no_devices(sysfs: Sysfs, content: str) -> None:
    for name in ("a", "0000:00:00.0"):
        folder = sysfs.root / "bus/pci/devices" / name
        folder.mkdir()
        (folder / "vendor").write_text(content, "latin-1")
        (folder / "class").write_text(content, "latin-1")
    assert read_machine(sysfs.root) == Machine()
    assert read_machine(sysfs.root / "nowhere") == Machine()


def test_no_tool_and_no_gpu_is_an_error(sysfs: Sysfs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    app = annotate_node.typer.Typer()
    app.command()(annotate_node.command)
    done = CliRunner().invoke(app, ["--dry-run", "--sysfs", str(sysfs.root)])
    assert done.exit_code == 1
    assert "shows no GPU" in done.output
    hgx(sysfs)
    done = CliRunner().invoke(app, ["--dry-run", "--sysfs", str(sysfs.root)])
    assert done.exit_code == 0
    assert RAILS in done.output


def test_every_dump_gives_what_was_reviewed() -> None:
    """Rewrite with REWRITE_SNAPSHOTS=1, and review the difference."""
    found = {}
    for dump in DUMPS:
        try:
            found[dump.name] = annotations_of(read_reading(dump.read_text()))
        except UnreadableTopologyError as error:
            found[dump.name] = {"refused": str(error)[:100]}
    if os.environ.get("REWRITE_SNAPSHOTS"):
        KEPT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    assert found == json.loads(KEPT.read_text())
