"""What an engine may know when it renders a replica: the spec, the placement, and the names of the group's pods."""

from dataclasses import dataclass

from shardwright.api.reasons import Reason
from shardwright.api.spec import InferenceDeploymentSpec
from shardwright.catalog.engine_options import EngineOptions
from shardwright.models.profile import ModelProfile
from shardwright.plan.memory_versions import version_facts
from shardwright.plan.types import Placement


class UnrenderableError(Exception):
    """An engine cannot run what was asked; `reason` and `message` go to the user."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class GroupContext:
    """The pods of one replica, and the times that the operator grants them."""

    hosts: tuple[str, ...]
    """DNS names of the pods in pod order; the first is the leader's."""
    startup_seconds: int
    """How long loading may take before the group counts as failed."""
    grace_seconds: int
    """terminationGracePeriodSeconds."""
    pre_stop_seconds: int
    image: str
    """What to run: the user's image, else the operator's default for the engine and the vendor."""
    cache_host_path: str = ""
    """Folder on the node for downloads and compiled kernels; empty = lost with the pod."""
    namespace: str = ""
    """Whose pods they are: what is kept on nodes is kept apart by it."""
    hub: str = ""
    """Where models come from whose spec names no endpoint; empty = nowhere, they must lie there already."""
    every_pod_serves: bool = False
    """Whether followers answer HTTP too, so that the data-parallel ranks of each pod get their requests from it."""
    launch_secret: str = ""
    """Name of the Secret by which the deployment's pods know each other, for an engine that mounts it."""

    @property
    def leader(self) -> str:
        """The leader's DNS name."""
        return self.hosts[0]

    @property
    def size(self) -> int:
        """Pods in the group."""
        return len(self.hosts)

    @property
    def drain_seconds(self) -> int:
        """What remains of the grace for running requests, after the pre-stop wait and a margin to end in."""
        return max(0, self.grace_seconds - self.pre_stop_seconds - STOP_MARGIN_SECONDS)


STOP_MARGIN_SECONDS = 10
"""Time for an engine to release its GPUs after the last request."""


MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Rendering:
    """All of it in one value, as engines take it."""

    spec: InferenceDeploymentSpec
    profile: ModelProfile
    placement: Placement
    context: GroupContext
    options: EngineOptions

    @property
    def memory_fraction(self) -> str:
        """The fraction of memory that the forecast was made with, as a decimal."""
        millionths = version_facts(self.spec.engine.name, self.options.version).utilization_ppm
        return "1" if millionths >= MILLION else f"0.{millionths:06d}".rstrip("0")
