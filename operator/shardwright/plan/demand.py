"""How many replicas a request asks for, in the unit in which it asked: replicas, requests at once, or GPUs."""

from dataclasses import dataclass

from shardwright.plan.types import Layout, MemoryForecast, PlanRequest

_NO_LIMIT = 1 << 30


@dataclass(frozen=True, slots=True)
class Demand:
    """What is still to be placed."""

    replicas: int | None
    concurrency: int | None
    gpus: int | None
    """The most that all replicas may take together; None = no budget."""
    fill: bool
    most: int | None
    """No derived number exceeds this (the autoscaler's maximum)."""
    started: bool = False
    """Something has been placed already."""

    @property
    def by_budget(self) -> bool:
        """Whether the number of replicas follows from a budget of GPUs."""
        return self.replicas is None and self.concurrency is None and (self.fill or self.gpus is not None)

    @property
    def is_met(self) -> bool:
        """Whether nothing is left to place."""
        if self.most == 0 or self.gpus == 0:
            return True
        if self.replicas is not None:
            return self.replicas <= 0
        if self.concurrency is not None:
            return self.concurrency <= 0
        return self.started and not self.by_budget

    def wanted(self, layout: Layout, memory: MemoryForecast, room: int) -> int:
        """Replicas of this layout that answer the demand; `room` is how many the free GPUs hold."""
        if self.replicas is not None:
            return self.replicas
        bound = _NO_LIMIT if self.most is None else self.most
        if self.concurrency is not None:
            return min(
                bound, max(1, min(self.affordable(layout), -(-self.concurrency // max(1, memory.max_concurrency))))
            )
        if self.by_budget:
            return min(bound, max(0 if self.started else 1, min(self.affordable(layout), room)))
        return min(bound, 1)

    def affordable(self, layout: Layout) -> int:
        """Replicas that the budget pays for."""
        return _NO_LIMIT if self.gpus is None else self.gpus // layout.gpus_per_replica

    def after(self, layout: Layout, memory: MemoryForecast, placed: int) -> "Demand":
        """What is left when so many replicas of this layout were placed."""
        return Demand(
            None if self.replicas is None else self.replicas - placed,
            None if self.concurrency is None else max(0, self.concurrency - placed * memory.max_concurrency),
            None if self.gpus is None else self.gpus - placed * layout.gpus_per_replica,
            self.fill,
            None if self.most is None else max(0, self.most - placed),
            started=True,
        )


def demand_of(request: PlanRequest) -> Demand:
    """All of it."""
    return Demand(request.replicas, request.concurrency, request.max_gpus, request.fill_free_gpus, request.max_replicas)
