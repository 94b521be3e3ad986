"""Reads what the kernel tells of a node's GPUs and network adapters under /sys. A file that cannot be read is empty."""

import re
from collections.abc import Iterator
from pathlib import Path

from shardwright.topology import Adapter, Device, Machine

GPU_VENDORS = {"0x10de": ("0x0300", "0x0302"), "0x1002": ("0x0300", "0x0380", "0x1200"), "0x1da3": ("0x1200",)}
"""PCI vendor -> beginnings of the class of its GPUs: NVIDIA, AMD, Habana. A bridge such as NVSwitch has another."""
_ADDRESS = re.compile(r"(pci)?[0-9a-f]{4,}:[0-9a-f]{2}(:[0-9a-f]{2}\.[0-9a-f])?")


def read_adapters(sysfs: Path) -> Iterator[Adapter]:
    """The ports of all RDMA devices."""
    for port in sorted(sysfs.glob("class/infiniband/*/ports/*")):
        device = port.parent.parent
        driver = (device / "device" / "driver").resolve().name
        yield Adapter(
            device.name, _content(port / "link_layer"), _content(port / "rate"), _content(port / "state"), driver
        )


def read_machine(sysfs: Path) -> Machine:
    """Where GPUs and adapters sit, and how fast the Ethernet interfaces are that are up."""
    devices = sorted(sysfs.glob("bus/pci/devices/*"))
    adapters = sorted(sysfs.glob("class/infiniband/*"))
    return Machine(
        gpus=tuple(_device(device.name, device) for device in devices if _is_gpu(device)),
        adapters=tuple(_device(adapter.name, adapter / "device") for adapter in adapters),
        ethernet_megabits=tuple(_speeds(sysfs)),
    )


def _is_gpu(device: Path) -> bool:
    classes = GPU_VENDORS.get(_content(device / "vendor"), ())
    return _content(device / "class").startswith(classes) if classes else False


def _device(name: str, folder: Path) -> Device:
    numa = _content(folder / "numa_node")
    steps = tuple(part for part in folder.resolve().parts if _ADDRESS.fullmatch(part))
    return Device(name, steps, int(numa) if numa.lstrip("-").isdecimal() else -1)


def _speeds(sysfs: Path) -> Iterator[int]:
    """Of physical interfaces alone: those that hang on a device."""
    for interface in sorted(sysfs.glob("class/net/*")):
        speed = _content(interface / "speed")
        if (interface / "device").exists() and _content(interface / "operstate") == "up" and speed.isdecimal():
            yield int(speed)


def _content(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
