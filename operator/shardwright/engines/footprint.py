"""CPU and memory that an engine's pod asks for, so that it is not placed where it could not load; never limits.

From the engine's processes and its weights, and never more than half of the pod's part of a node: a request must not be
what keeps a replica from running where its GPUs are free. Knows no manifest.
"""

from shardwright.engines.context import Rendering
from shardwright.engines.program import shared_memory_bytes

CORE_MILLI = 2000
"""One physical core, which Kubernetes counts as two CPUs. vLLM's architecture overview lists the processes."""
PROCESS_BYTES = 4 << 30
"""Python, torch, CUDA's libraries and staging buffers of one process; what `ps` shows is 2 to 4 GiB."""
LARGEST_PART = 2
"""A pod asks for at most one over this of what is its part of the node; the rest is left to daemons and other pods."""
_MIB = 1 << 20


def requests(rendering: Rendering) -> tuple[tuple[str, str], ...]:
    """Amounts of cpu and memory as Kubernetes writes them; none where the node's are not known."""
    host, gpus = rendering.placement.host, rendering.placement.layout.gpus_per_pod
    if not host.gpus:
        return ()
    cpu = min(_cpu_milli(rendering), host.cpu_milli * gpus // host.gpus // LARGEST_PART) // 100 * 100
    memory = min(_memory_bytes(rendering), host.memory_bytes * gpus // host.gpus // LARGEST_PART) // _MIB
    found = (("cpu", f"{cpu}m" if cpu % 1000 else str(cpu // 1000), cpu), ("memory", f"{memory}Mi", memory))
    return tuple((name, text) for name, text, amount in found if amount)


def _cpu_milli(rendering: Rendering) -> int:
    """A core for each GPU's worker, and for each data-parallel engine its core process and an API server."""
    return CORE_MILLI * _processes(rendering)


def _memory_bytes(rendering: Rendering) -> int:
    """Processes, shared memory, and room to keep the pod's weights in the page cache.

    All ranks of a pod read the same files, and without that room each would read them from disk or network again.
    """
    layout, ranks = rendering.placement.layout, rendering.placement.memory.ranks
    weights = sum(rank.weights_bytes for rank in ranks) * layout.data // layout.nodes_per_replica
    return PROCESS_BYTES * _processes(rendering) + shared_memory_bytes(layout.gpus_per_pod) + weights


def _processes(rendering: Rendering) -> int:
    layout = rendering.placement.layout
    engines = max(1, layout.data // layout.nodes_per_replica)
    return layout.gpus_per_pod + 2 * engines
