"""Every way to cut one replica that nodes of a pool could hold, in one fixed order. Judges nothing: `checks` does.

Ranks are numbered as the engines number them: data outermost, then pipeline, tensor innermost. A cut whose tensor or
data-parallel groups would start in the middle of one pod and end in the middle of another is not a way to cut at all,
because pods of a group are equal and their ranks contiguous.
"""

from collections.abc import Iterator
from functools import lru_cache

from shardwright.plan.types import Layout, LayoutPins

MOST_PODS_PER_REPLICA = 16
"""No published single-replica deployment known to us spans more nodes; wider ones are made of replicas."""


def layouts(gpus_per_node: int, most_pods: int, pins: LayoutPins, *, mixture_of_experts: bool) -> tuple[Layout, ...]:
    """All cuts with up to `most_pods` pods of up to `gpus_per_node` GPUs that agree with the pins.

    Single-pod cuts come first, then the others by GPUs, so that a caller can stop when more would only cost.
    """
    pods_limit = min(most_pods, max(MOST_PODS_PER_REPLICA, pins.nodes_per_replica or 0))
    return _layouts(gpus_per_node, pods_limit, pins, mixture_of_experts)


def divisors(number: int) -> tuple[int, ...]:
    """Divisors of a positive number, ascending."""
    return tuple(n for n in range(1, number + 1) if number % n == 0)


@lru_cache(maxsize=256)
def _layouts(gpus_per_node: int, most_pods: int, pins: LayoutPins, mixture_of_experts: bool) -> tuple[Layout, ...]:
    found = [
        layout
        for pods in range(1, most_pods + 1)
        if pins.nodes_per_replica in (None, pods)
        for gpus_per_pod in range(1, gpus_per_node + 1)
        for layout in _cuts(pods, gpus_per_pod, mixture_of_experts)
        if _agrees(layout, pins)
    ]
    return tuple(
        sorted(found, key=lambda cut: (cut.nodes_per_replica > 1, cut.gpus_per_replica * (cut.nodes_per_replica > 1)))
    )


def _cuts(pods: int, gpus_per_pod: int, mixture_of_experts: bool) -> Iterator[Layout]:
    gpus = pods * gpus_per_pod
    for tensor in divisors(gpus):
        for pipeline in divisors(gpus // tensor):
            data = gpus // (tensor * pipeline)
            if data > 1 and not mixture_of_experts:
                continue
            if not (_tiles(tensor, gpus_per_pod) and _tiles(tensor * pipeline, gpus_per_pod)):
                continue
            for expert in (False, True) if mixture_of_experts and tensor * data > 1 else (False,):
                yield Layout(tensor, pipeline, data, expert, pods)


def _tiles(ranks: int, gpus_per_pod: int) -> bool:
    return gpus_per_pod % ranks == 0 or ranks % gpus_per_pod == 0


def _agrees(layout: Layout, pins: LayoutPins) -> bool:
    """Stages and data ranks come together only where both are pinned: no published deployment known to us has both."""
    return (
        pins.tensor in (None, layout.tensor)
        and pins.pipeline in (None, layout.pipeline)
        and pins.data in (None, layout.data)
        and pins.expert in (None, layout.expert)
        and (layout.pipeline == 1 or layout.data == 1 or (pins.pipeline is not None and pins.data is not None))
    )
