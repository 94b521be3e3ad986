"""Text of nvidia-smi, rocm-smi and amd-smi becomes islands and links. Pure: knows no node, no product and no file."""

from shardwright.topology.amd import is_amd, read_json, read_tables
from shardwright.topology.annotate import annotations_of, write_islands
from shardwright.topology.fabric import Adapter
from shardwright.topology.islands import draw_islands
from shardwright.topology.lines import clean_lines
from shardwright.topology.nvidia import find_header, read_matrix
from shardwright.topology.pci import Device, Machine
from shardwright.topology.types import Islands, Reading, Tier, Topology, UnreadableTopologyError

__all__ = [
    "Adapter",
    "Device",
    "Islands",
    "Machine",
    "Reading",
    "Tier",
    "Topology",
    "UnreadableTopologyError",
    "annotations_of",
    "read_reading",
    "read_topology",
    "write_islands",
]


def read_topology(text: str) -> Topology:
    """Read the islands of one node. Raises UnreadableTopologyError, which names the line that made no sense."""
    return draw_islands(read_reading(text))


def read_reading(text: str) -> Reading:
    """Read pairs, NUMA nodes and NICs as printed, before islands are drawn. Raises UnreadableTopologyError."""
    lines = clean_lines(text)
    header = find_header(lines)
    if is_amd(lines) and header is None:
        return read_tables(lines)
    if header is not None:
        return read_matrix(lines, header)
    reading = read_json("\n".join(line.text for line in lines))
    if reading is None:
        raise UnreadableTopologyError(
            "no GPU matrix in it; give the output of `nvidia-smi topo -m`, `rocm-smi --showtopo` or `amd-smi topology`"
        )
    return reading
