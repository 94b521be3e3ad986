"""Who spreads requests over the data-parallel ranks inside a replica, and so which of its pods answer HTTP.

vLLM's API servers queue to ranks by the load that each reports: those of the leader to all ranks (internal), or those
of each pod to the pod's own, behind a Service over all pods (hybrid). Internal balances best, but carries every request
and token of the group through one pod. Hybrid has a front end in each pod, and still looks at queues where a pod has
ranks to choose from. With one rank for each pod it would be vLLM's external balancing: nobody looks at queues, and
connections land on ranks by chance. Knows no flags and no Service.
"""

from collections.abc import Collection
from enum import StrEnum

from shardwright.api.spec import EngineName
from shardwright.plan.types import Layout


class Balancing(StrEnum):
    """How one replica's data-parallel ranks get their requests."""

    NONE = "none"
    """There is one rank, or the engine spreads requests behind its one front end itself."""
    INTERNAL = "internal"
    HYBRID = "hybrid"


def ranks_per_pod(layout: Layout) -> int:
    """Whole data-parallel ranks in each pod; 0 where a rank spans pods."""
    return layout.gpus_per_pod // (layout.tensor * layout.pipeline)


def balancing(engine: EngineName, layout: Layout, others: Collection[Layout]) -> Balancing:
    """Choose for one layout of a plan.

    One Service finds the pods of all replicas, and by labels alone: so either every pod of every replica answers, or
    the leaders do. Hybrid needs the first of all layouts of the plan.
    """
    if engine is not EngineName.VLLM or layout.data == 1:
        return Balancing.NONE
    return Balancing.HYBRID if every_pod_serves(engine, (layout, *others)) else Balancing.INTERNAL


def every_pod_serves(engine: EngineName, layouts: Collection[Layout]) -> bool:
    """Whether all pods of all these replicas answer HTTP, some of them beside other pods of their replica."""
    several = [layout for layout in layouts if layout.nodes_per_replica > 1]
    return bool(several) and engine is EngineName.VLLM and all(ranks_per_pod(layout) > 1 for layout in several)
