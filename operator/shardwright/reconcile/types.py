"""What a reconcile sees and what it decides, as frozen values."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from shardwright.api.reasons import Reason
from shardwright.inventory import Inventory
from shardwright.plan.types import QuotaRoom

JsonObject = Mapping[str, Any]
ChildName = tuple[str, str]
"""Kind and name of an object in the deployment's namespace."""


class Gpus(Protocol):
    """The cluster's GPUs as one deployment may count them; a snapshot while a decision is made."""

    def inventory(self, *, free_replicas: frozenset[int] | None) -> Inventory:
        """All pools less what others hold or were promised, and less the own replicas that are not named.

        None = all of the deployment's own GPUs count as free.
        """

    def node_exists(self, name: str) -> bool:
        """Whether the node is there at all, fit for planning or not."""

    def labels_of(self, name: str) -> tuple[tuple[str, str], ...]:
        """Labels of a node, fit for planning or not; none where it is not there."""

    def node_unreachable(self, name: str) -> bool:
        """Whether nobody hears from the node any more: its pods end only if somebody else ends them."""

    def leaving(self, name: str) -> str:
        """Why the node is to be emptied, as in "is cordoned"; empty where it is not."""

    def node_usable(self, name: str) -> bool:
        """Whether pods may be put on the node."""

    @property
    def fleet(self) -> Inventory:
        """All pools as they were if every GPU were free."""

    def rival(self, replica: int, held: Counter[str], *, patient: bool) -> str:
        """Who goes before a half-placed replica and waits for one of the nodes that it holds; empty = nobody.

        `patient`: it has been half placed for long. Otherwise only where its other pods surely find no room.
        """

    def quota_room(self, *, standing: bool) -> tuple[QuotaRoom, ...]:
        """What ResourceQuotas leave to all replicas of the deployment together; empty where none bounds it.

        `standing`: for what was promised before, against which younger deployments' promises do not count.
        """

    def has_room(self, replica: int, node: str, gpus: int) -> bool:
        """Whether so many GPUs are left for a replica besides others' pods and older deployments' promises."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of the model from outside the spec: texts from its ConfigMap or a hub, or why there are none."""

    files: Mapping[str, str] | None = None
    problem: str = ""
    reason: Reason = Reason.UNKNOWN_MODEL
    retry_seconds: float | None = None
    """When a problem is worth another look; None = whoever knows more will say so."""


@dataclass(frozen=True, slots=True)
class Formed:
    """The pods of a group at a moment when all of them ran."""

    incarnation: int
    uids: frozenset[str]
    plan_hash: str = ""
    """What the set asked for then; a rollout replaces the pods of an older one."""


@dataclass(frozen=True, slots=True)
class Yielded:
    """A half-placed group let go of what it held."""

    times: int
    """How often since it was last whole."""
    until: str
    """When it is tried again, RFC 3339."""
    to: str
    """Who waits for what it held."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything one decision depends on, besides the GPUs."""

    deployment: JsonObject
    children: Mapping[ChildName, JsonObject]
    pods: tuple[JsonObject, ...]
    facts: ModelFacts = ModelFacts()
    takes_name: Callable[[str, str], bool] = field(default=lambda _kind, _name: False)
    """Whether an object that is not ours has that kind and name in the deployment's namespace."""
    verified: Mapping[ChildName, str] = field(default_factory=dict)
    """Live objects that were found to be as wished, with the hash of the wish, and have not changed since."""
    stubborn: Mapping[ChildName, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    """What still differed after an apply: hash of the wish, and the differences; not tried again while both stay."""
    formed: Mapping[int, Formed] = field(default_factory=dict)
    """Groups that were seen whole, by replica: one that lost such a pod is broken even if another took its name."""
    yielded: Mapping[int, Yielded] = field(default_factory=dict)
    """Groups that let go of what they held, by replica."""
    better: str | None = None
    """What was found when a better layout was last looked for, empty for none; None = look for one this time."""
    refused: Mapping[ChildName, tuple[str, str]] = field(default_factory=dict)
    """What the API server refused for good: hash of the wish, and its message; not tried again while the wish stays."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """GPUs of one replica: on each node in `nodes`, once per mention, `gpus_per_pod` of a resource."""

    replica: int
    gpus_per_pod: int
    nodes: tuple[str, ...]
    gpu_resource: str = ""
    """What quotas count it by."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing to tell the user about, when it happens."""

    kind: str
    """Normal or Warning."""
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Write:
    """One object to apply. `force` only where the live object is ours already."""

    document: Mapping[str, Any]
    force: bool


@dataclass(frozen=True, slots=True)
class Deletion:
    """One object to delete, as it was seen; pods may be cut short."""

    kind: str
    document: JsonObject
    why: str
    grace_seconds: int | None = None
    unless_tied: tuple[str, ...] = ()
    """PersistentVolumeClaims of the pod: it stays while one of them may be mounted on a single node only."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write, in this order: `keep` first, then the status, then `apply`, then `delete`."""

    keep: tuple[Write, ...] = ()
    """The accepted spec and plan, which must outlive us before anything is made from them."""
    status: JsonObject | None = None
    """The whole status, or None where it stands already."""
    derived_replicas: int | None = None
    apply: tuple[Write, ...] = ()
    delete: tuple[Deletion, ...] = ()
    events: tuple[Event, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    """All GPUs this deployment wants to hold."""
    formed: Mapping[int, Formed] = field(default_factory=dict)
    """Groups that are whole now."""
    yielded: Mapping[int, Yielded] | None = None
    """Groups that let go of what they held, all of them; None = nobody looked."""
    better: str | None = None
    """The better layout that is possible, empty for none; None where nobody looked."""
    waiting: bool = False
    """Whether a change of the GPUs could help it: it is woken by every such change."""
    requeue_after_seconds: float | None = None
