"""What the caller tells the manifests: whose objects they are, which replicas run where, what this operator's are."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shardwright.api.spec import InferenceDeploymentSpec
from shardwright.models.profile import ModelProfile
from shardwright.plan.types import Placement


@dataclass(frozen=True, slots=True)
class DeploymentIdentity:
    """The InferenceDeployment that owns everything."""

    name: str
    namespace: str
    uid: str


@dataclass(frozen=True, slots=True)
class ReplicaAssignment:
    """One replica that is to run."""

    id: int
    placement_index: int
    """Which of the plan's placements it belongs to."""
    nodes: tuple[str, ...]
    """Planned, in pod order; empty where they do not exist yet: the pool's labels say where then."""
    incarnation: int = 0
    """How often the whole group was made anew."""
    evictable: bool = False
    """It should leave its nodes and has nowhere to go: whoever drains them may evict it."""


@dataclass(frozen=True, slots=True)
class ManifestSettings:
    """Defaults of this installation."""

    images: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Image by (engine, GPU vendor); `{version}` in it is replaced. Absent: the engine's public one."""
    unreachable_seconds: int = 30
    """How long an engine pod tolerates a node that cannot be reached."""
    grace_seconds: int = 90
    """From the first signal to the kill, unless the spec says otherwise."""
    pre_stop_seconds: int = 5
    """Time for an endpoint to leave the Service before the engine hears the signal."""
    cache_host_path: str = ""
    """Folder on every node for downloads and compiled kernels; empty = they go with the pod."""
    claims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Access modes of the claims that the spec names, where they could be read."""
    hub: str = "https://huggingface.co"
    """Where models come from whose spec names no endpoint; empty = nowhere, they must lie there already."""


@dataclass(frozen=True, slots=True)
class ReplicaContext:
    """Everything that the objects of one replica follow from, besides the program of its pods."""

    owner: DeploymentIdentity
    spec: InferenceDeploymentSpec
    profile: ModelProfile
    placement: Placement
    replica: ReplicaAssignment
    settings: ManifestSettings
    every_pod_serves: bool = False
    """Whether each pod of the replica answers HTTP, not the leader alone."""
