"""What a layout takes for granted of its pods' surroundings: adapters, RDMA devices, NUMA nodes. Sentences only.

Nothing of this decides a plan; it is what a person needs to know who wonders why a replica is slower than forecast.
"""

from collections.abc import Iterable, Iterator, Sequence

from shardwright.catalog.types import NetworkKind
from shardwright.inventory.host import Host
from shardwright.inventory.resources import EFA
from shardwright.plan.types import Layout

_RDMA = (NetworkKind.INFINIBAND, NetworkKind.ROCE, NetworkKind.EFA)


def surroundings(layout: Layout, host: Host) -> tuple[str, ...]:
    """One sentence for each thing that Kubernetes, the nodes or the image must grant."""
    if not host.gpus:
        return ()
    between = _between_pods(layout, host) if layout.nodes_per_replica > 1 else ()
    return (*between, *_numa(layout, host))


def _between_pods(layout: Layout, host: Host) -> Iterator[str]:
    part = layout.gpus_per_pod < host.gpus
    devices = dict(host.devices_for(layout.gpus_per_pod))
    if host.network in _RDMA and not host.devices:
        yield (
            f"pods reach {host.network} although the nodes offer no RDMA resource to ask for; "
            "without a device NCCL takes TCP"
        )
    for name, count in host.devices:
        if name not in devices and host.network is not NetworkKind.TCP:
            yield f"{count} {name} for {host.gpus} GPUs leave none for {layout.gpus_per_pod}: pods ask for none of it"
    if EFA in devices:
        yield "the engine's image holds the aws-ofi-nccl plugin, without which NCCL takes TCP and not EFA"
    if part and host.nics:
        near = "; ".join(f"GPU {_ranges(gpus)}: {', '.join(names)}" for gpus, names in host.nics)
        yield f"the device plugin chooses which GPUs a pod gets, and so which adapters are near ({near})"


def _numa(layout: Layout, host: Host) -> Iterator[str]:
    nodes = len(set(host.numa))
    if nodes < 2:
        return
    if layout.gpus_per_pod == host.gpus:
        yield (
            f"a pod holds all GPUs of {nodes} NUMA nodes: where the kubelet's Topology Manager is on, its policy is "
            "not single-numa-node, which would refuse the pod"
        )
    elif layout.gpus_per_pod > 1:
        yield (
            "GPUs, CPUs and adapters of a pod come from one NUMA node where the kubelet's Topology Manager is on "
            "(best-effort or restricted, scope pod); else they may not"
        )


def _ranges(gpus: Iterable[int]) -> str:
    """`0-3`, `0,5`."""
    ordered: Sequence[int] = sorted(gpus)
    if len(ordered) > 1 and ordered[-1] - ordered[0] == len(ordered) - 1:
        return f"{ordered[0]}-{ordered[-1]}"
    return ",".join(map(str, ordered))
