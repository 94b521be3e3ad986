"""Everything a status follows from, as one value. Holds; decides nothing but sums."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from shardwright.api.problems import FieldProblem
from shardwright.api.reasons import Reason
from shardwright.api.spec import InferenceDeploymentSpec
from shardwright.plan.types import Plan
from shardwright.status.observed import ObservedReplica, ReplicaHealth, health


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that went wrong outside the replicas: an apply refused, a name taken, a bug of ours."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class ScalerView:
    """What the HorizontalPodAutoscaler says of itself in its condition ScalingActive."""

    active: bool | None
    """None = it has not said yet."""
    message: str = ""


@dataclass(frozen=True)
class Situation:
    """One deployment, as it is wanted and as it is seen, at one moment."""

    name: str
    namespace: str
    generation: int
    now: str
    """RFC 3339 in UTC; used only where something changed."""
    previous: Mapping[str, Any] = field(default_factory=dict)
    """The status as it stands."""
    spec: InferenceDeploymentSpec | None = None
    """The last accepted one, which the children follow; None = none ever was."""
    problems: tuple[FieldProblem, ...] = ()
    """Of the spec as it stands now; empty = it is the accepted one."""
    endpoint: str = ""
    """URL that clients use; empty where no spec was ever accepted."""
    plan: Plan | None = None
    plan_hash: str = ""
    wanted: int = 0
    """Replicas asked for, by the user, an autoscaler or derivation."""
    derived_replicas: int | None = None
    replicas: tuple[ObservedReplica, ...] = ()
    outdated: int = 0
    """Replicas that still run an older plan or template."""
    surge: int = 0
    """Replicas beyond the wanted number, for a rollout."""
    surge_waits: bool = False
    """Whether more of them are allowed than there are GPUs for."""
    better: str = ""
    """A better layout that is possible now, in words; empty = none known."""
    trouble: Trouble | None = None
    caution: Trouble | None = None
    """Something to know that stops nothing yet; said where nothing worse is."""
    scaler: ScalerView | None = None

    @cached_property
    def health(self) -> tuple[tuple[ObservedReplica, ReplicaHealth], ...]:
        """Each replica with its health, by id."""
        return tuple((replica, health(replica)) for replica in sorted(self.replicas, key=lambda one: one.id))

    @cached_property
    def ready(self) -> int:
        """Replicas that serve."""
        return sum(state.ready for _, state in self.health)

    @property
    def present(self) -> int:
        """Replicas whose leader pod exists, ready or not."""
        return sum(replica.leader is not None for replica in self.replicas)

    @property
    def placed(self) -> int:
        """Replicas that the plan has room for."""
        return sum(placement.replicas for placement in self.plan.placements) if self.plan else 0

    @property
    def suspended(self) -> bool:
        """Whether the user asked to run nothing."""
        return self.spec is not None and self.spec.suspend

    @cached_property
    def first_waiting(self) -> ReplicaHealth | None:
        """The first replica whose nodes an autoscaler must add."""
        return next((state for _, state in self.health if state.reason is Reason.WAITING_FOR_NODES), None)

    @cached_property
    def first_broken(self) -> tuple[ObservedReplica, ReplicaHealth] | None:
        """The replica to look at first: one that was given up, else the first that is broken."""
        broken = [pair for pair in self.health if pair[1].broken]
        given_up = (pair for pair in broken if pair[1].reason is Reason.RESTART_BUDGET_SPENT)
        return next(given_up, broken[0] if broken else None)
