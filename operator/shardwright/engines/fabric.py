"""How the ranks of a replica reach each other: RDMA devices, and what collectives must be told of links and adapters.

Only what a fact of the nodes justifies is set; NCCL and RCCL find the rest themselves (docs/engines.md says of each
variable why, and of others why not). A variable that the user sets wins where the container is written.
"""

import re
from collections.abc import Iterator

from shardwright.api.spec import EngineName
from shardwright.catalog.types import LinkKind, NetworkKind, Vendor
from shardwright.engines.context import Rendering
from shardwright.engines.options import canonical
from shardwright.engines.program import Variable
from shardwright.inventory.host import Host
from shardwright.inventory.resources import EFA, SHARED_RDMA, is_network_resource

POD_INTERFACE = "eth0"
"""What container runtimes call the interface of the pod network."""
MORE_NETWORKS = ("k8s.v1.cni.cncf.io/networks", "networking.gke.io/interfaces")
"""Annotations by which a pod gets further interfaces: Multus' and GKE's."""
_UNNAMED = re.compile(r"NIC\d+")
"""What nvidia-smi's table calls an adapter whose legend was cut off: no device has that name."""
_NCCL = (Vendor.NVIDIA, Vendor.AMD)
"""Vendors whose collectives read NCCL's variables; RCCL kept the names."""


def devices(rendering: Rendering) -> tuple[tuple[str, int], ...]:
    """RDMA resources that each pod asks for: a whole node's all, a part's share; none where the user names any."""
    host = rendering.placement.host
    if not _leaves_pod(rendering) or host.network is NetworkKind.TCP or _named_by_user(rendering) is not None:
        return ()
    return host.devices_for(rendering.placement.layout.gpus_per_pod)


def environment(rendering: Rendering) -> tuple[Variable, ...]:
    """Variables that follow from the nodes; none where nothing is known of them."""
    if not rendering.placement.host.gpus or rendering.placement.vendor not in _NCCL:
        return ()
    found = dict(_inside(rendering)) if rendering.placement.layout.gpus_per_pod > 1 else {}
    if _leaves_pod(rendering):
        found |= dict(_between(rendering))
    return tuple(Variable(name, value) for name, value in found.items())


def vllm_arguments(rendering: Rendering) -> list[str]:
    """Words for vLLM that follow from the nodes, unless the user says otherwise."""
    host, given = rendering.placement.host, _given(rendering)
    words = []
    if (
        not host.peer_to_peer
        and rendering.placement.layout.gpus_per_pod > 1
        and "disable-custom-all-reduce" not in given
    ):
        words.append("--disable-custom-all-reduce")
    if _binds_numa(rendering):
        words += [] if "numa-bind" in given else ["--numa-bind"]
        words += ["--numa-bind-nodes", *map(str, host.numa)]
    return words


def _inside(rendering: Rendering) -> Iterator[tuple[str, str]]:
    """Between the GPUs of one pod."""
    host = rendering.placement.host
    if not host.peer_to_peer:
        yield "NCCL_P2P_DISABLE", "1"
    elif host.link is LinkKind.PCIE_SWITCH and len(host.said_islands) > 1:
        yield "NCCL_P2P_LEVEL", "PXB"
    if rendering.placement.vendor == Vendor.AMD and host.link in (LinkKind.PCIE, LinkKind.PCIE_SWITCH):
        yield "HSA_FORCE_FINE_GRAIN_PCIE", "1"


def _between(rendering: Rendering) -> Iterator[tuple[str, str]]:
    """Between pods."""
    host, asked = rendering.placement.host, _devices_asked(rendering)
    yield from _interface(rendering)
    if EFA in asked:
        yield "FI_PROVIDER", "efa"
        yield "FI_EFA_USE_HUGE_PAGE", "0"
    if host.network is NetworkKind.TCP and not asked:
        yield "NCCL_IB_DISABLE", "1"
    adapters = _adapters(host, asked)
    if adapters:
        yield "NCCL_IB_HCA", f"={','.join(adapters)}"
    if adapters and _moves_cache(rendering):
        yield "UCX_NET_DEVICES", ",".join(f"{name}:1" for name in adapters)


def _interface(rendering: Rendering) -> Iterator[tuple[str, str]]:
    """Name the interface where it is told, or where a pod has several and only one is sure to reach the others."""
    several = any(key in (rendering.spec.pod_template.annotations or {}) for key in MORE_NETWORKS)
    name = rendering.placement.host.interface or (POD_INTERFACE if several else "")
    if not name:
        return
    yield "NCCL_SOCKET_IFNAME", f"={name}"
    yield "GLOO_SOCKET_IFNAME", name
    if rendering.spec.engine.name is EngineName.TRTLLM:
        yield "OMPI_MCA_btl_tcp_if_include", name
        yield "OMPI_MCA_oob_tcp_if_include", name


def _adapters(host: Host, asked: frozenset[str]) -> tuple[str, ...]:
    """Names of the adapters as the pod sees them: the node's own, unless a plugin hands out virtual functions."""
    shared = bool(asked) and all(name.startswith(SHARED_RDMA) for name in asked)
    verbs = host.network in (NetworkKind.INFINIBAND, NetworkKind.ROCE)
    named = not any(_UNNAMED.fullmatch(name) for name in host.adapters)
    return host.adapters if shared and verbs and named else ()


def _leaves_pod(rendering: Rendering) -> bool:
    return rendering.context.size > 1 or _moves_cache(rendering)


def _moves_cache(rendering: Rendering) -> bool:
    """Whether the user has vLLM hand its KV cache to other pods."""
    return rendering.spec.engine.name is EngineName.VLLM and "kv-transfer-config" in _given(rendering)


def _binds_numa(rendering: Rendering) -> bool:
    """Whether each GPU's NUMA node is sure: the pod has all of them, so that index in the pod = index on the node.

    By itself only in vLLM's own CUDA image, of a version that was read: it holds numactl, without which vLLM stops, and
    goes without memory binding where the pod may not set it. In other images the user's word is waited for.
    """
    placement, given = rendering.placement, _given(rendering)
    if "numa-bind-nodes" in given or placement.layout.gpus_per_pod != len(placement.host.numa):
        return False
    if "numa-bind" in given:
        return given["numa-bind"].lower() not in ("false", "0")
    public = rendering.context.image == rendering.options.images.get(Vendor.NVIDIA)
    return len(set(placement.host.numa)) > 1 and public and not rendering.options.assumption


def _given(rendering: Rendering) -> dict[str, str]:
    args = rendering.spec.engine.args or {}
    return {canonical(name, rendering.options): value for name, value in args.items()}


def _named_by_user(rendering: Rendering) -> frozenset[str] | None:
    """RDMA resources that the user's pod template asks for; None where it names none, not even with 0."""
    amounts: dict[str, str] = {}
    for kind in ("requests", "limits"):
        amounts |= {name: str(n) for name, n in ((rendering.spec.pod_template.resources or {}).get(kind) or {}).items()}
    named = {name: amount for name, amount in amounts.items() if is_network_resource(name)}
    return frozenset(name for name, amount in named.items() if amount != "0") if named else None


def _devices_asked(rendering: Rendering) -> frozenset[str]:
    named = _named_by_user(rendering)
    return frozenset(name for name, _ in devices(rendering)) if named is None else named
