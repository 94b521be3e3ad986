"""Which links the GPUs of a node have: annotation, then product table, then PCIe; each guess is said.

Knows no label: what a node wrote comes in as `Links`, what its product is as a row of the catalogue.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from shardwright.catalog.types import GpuProduct, LinkKind, NetworkKind
from shardwright.inventory.annotations import Links
from shardwright.inventory.raw import whole
from shardwright.inventory.resources import EFA, is_network_resource
from shardwright.inventory.types import Islands

DEFAULT_PCIE = 16 * 10**9
"""PCIe 3.0 x16, one direction, bytes per second: where not even the product is known."""
DEFAULT_NETWORK = 10**10 // 8
"""10 Gb/s a GPU: what a cluster without a word about its network is taken to have."""
EFA_DEVICE = 100 * 10**9 // 8
"""One EFA device, bytes per second."""
MESH_QUADS = 4
"""In the hybrid cube mesh of eight V100 or P100, only four GPUs all see each other directly."""
_FAST = (LinkKind.NVSWITCH, LinkKind.NVLINK_MESH, LinkKind.NVLINK_BRIDGE, LinkKind.XGMI, LinkKind.ON_CHIP_ROCE)


@dataclass(frozen=True, slots=True)
class NodeLinks:
    """Links inside one node. Bandwidths are bytes per second per GPU, one direction."""

    link: LinkKind
    link_bandwidth: int
    islands: Islands
    outer_islands: Islands
    cross_island_bandwidth: int
    annotated: bool
    assumptions: tuple[str, ...] = ()


def node_links(said: Links, product: GpuProduct, gpus: int, *, multi_gpu: bool) -> NodeLinks:
    """Decide the links of a node with so many GPUs."""
    if not multi_gpu:
        alone = tuple((gpu,) for gpu in range(gpus))
        return NodeLinks(LinkKind.NONE, 0, alone, (), 0, annotated=False)
    link = said.link or product.link
    islands, guesses = (
        (said.islands, ()) if said.islands else _islands(link, product, gpus, asked=said.link is not None)
    )
    if said.link is None and product.bridge_gpus and gpus > 1:
        guesses = (
            *guesses,
            f"{product.name} may have bridges; without the annotation gpu-link it is planned on {link}",
        )
    bandwidth = said.link_bandwidth or link_bandwidth(link, product)
    pcie = product.pcie_bandwidth or DEFAULT_PCIE
    crossing = said.cross_island_bandwidth or (min(pcie, bandwidth) if len(islands) > 1 and bandwidth else bandwidth)
    annotated = said.link is not None or said.islands is not None
    return NodeLinks(link, bandwidth, islands, said.outer_islands or (), crossing, annotated, guesses)


def link_bandwidth(link: LinkKind, product: GpuProduct) -> int:
    """Bytes per second per GPU, one direction, of a kind of link on a product."""
    pcie = product.pcie_bandwidth or DEFAULT_PCIE
    if link is product.link:
        return product.link_bandwidth or pcie
    if link in _FAST:
        return product.bridge_bandwidth or max(product.link_bandwidth, pcie)
    return pcie // 2 if link is LinkKind.NONE else pcie


def _islands(link: LinkKind, product: GpuProduct, gpus: int, *, asked: bool) -> tuple[Islands, tuple[str, ...]]:
    """Groups of GPUs by the kind of link alone; indexes that nobody told are an assumption."""
    size = gpus
    if link is LinkKind.NVLINK_BRIDGE:
        size = product.bridge_gpus or product.scale_up_domain or 2
    elif link is LinkKind.NVLINK_MESH and gpus > MESH_QUADS:
        size = MESH_QUADS
    elif link in (LinkKind.NVSWITCH, LinkKind.XGMI, LinkKind.ON_CHIP_ROCE) and not asked:
        size = max(product.scale_up_domain, 1)
    groups = tuple(tuple(range(start, min(start + size, gpus))) for start in range(0, gpus, size))
    if len(groups) == 1:
        return groups, ()
    return groups, (
        f"islands are taken as {size} neighbouring GPUs each ({link}); the annotation gpu-islands says it exactly",
    )


@dataclass(frozen=True, slots=True)
class NodeNetwork:
    """The network between nodes; bytes per second per GPU, one direction."""

    kind: NetworkKind
    bandwidth: int
    assumptions: tuple[str, ...] = ()


def node_network(said: Links, allocatable: Mapping[str, object], gpus: int) -> NodeNetwork:
    """Decide the network of a node: annotations, else EFA devices, else slow TCP."""
    efa = whole(allocatable.get(EFA))
    if said.network:
        default = efa * EFA_DEVICE // gpus if said.network is NetworkKind.EFA and efa else DEFAULT_NETWORK
        guess = (
            ()
            if said.network_bandwidth
            else (f"{said.network} without net-bandwidth-per-gpu: {_gigabits(default)} assumed",)
        )
        return NodeNetwork(said.network, said.network_bandwidth or default, guess)
    if efa:
        bandwidth = said.network_bandwidth or efa * EFA_DEVICE // gpus
        return NodeNetwork(NetworkKind.EFA, bandwidth, (f"{efa} EFA devices: {_gigabits(bandwidth)} assumed",))
    bandwidth = said.network_bandwidth or DEFAULT_NETWORK
    hint = "RDMA devices are offered but net-kind is not annotated: " if _has_rdma(allocatable) else ""
    return NodeNetwork(NetworkKind.TCP, bandwidth, (f"{hint}network taken as TCP with {_gigabits(bandwidth)}",))


def _has_rdma(allocatable: Mapping[str, object]) -> bool:
    return any(is_network_resource(name) and whole(count) for name, count in allocatable.items())


def _gigabits(bandwidth: int) -> str:
    return f"{bandwidth * 8 // 10**9} Gb/s per GPU"
