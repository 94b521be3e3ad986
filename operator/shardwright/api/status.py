"""What the operator says of an InferenceDeployment, as pydantic models; they are the schema of `status`, nothing else.

The values are made in `shardwright.status`. Everything is bounded; lists that one key tells apart say so.
"""

from typing import Annotated, Literal

from pydantic import Field

from shardwright.api.spec import Schema, keyed_by

MAX_REPLICA_STATES = 256
MAX_PLACEMENTS = 32
MAX_REJECTED = 16
MAX_ASSUMPTIONS = 32
MAX_SKIPPED = 32
MAX_NODES = 64
MAX_MESSAGE = 4096

CONDITIONS = ("Accepted", "Planned", "Available", "Progressing", "Degraded", "LayoutOptimal", "ScalingActive")
"""Every condition type, in the order in which status shows them."""

Count = Annotated[int, Field(ge=0)]
Bytes = int
Word = Annotated[str, Field(max_length=64)]
NodeName = Annotated[str, Field(max_length=253)]
Sentence = Annotated[str, Field(max_length=MAX_MESSAGE)]


class Condition(Schema):
    """One thing that is so, or not, or not known; as metav1.Condition."""

    type: Annotated[str, Field(min_length=1, max_length=64)]
    """One of Accepted, Planned, Available, Progressing, Degraded, LayoutOptimal, ScalingActive."""
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]
    """One word, from a closed list (docs/reference.md)."""
    message: Sentence
    """What is so, with figures, and what to do where something is wrong."""
    last_transition_time: Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]
    """When `status` last changed."""
    observed_generation: Count | None = None
    """Of the spec that this speaks of."""


class PlannedMemory(Schema):
    """Forecast of the fullest GPU of a replica."""

    weights_bytes: Bytes
    kv_cache_bytes: Bytes
    """What is left for the KV cache."""
    requested_bytes: Bytes | None = None
    """What the engine may use."""
    total_bytes: Bytes | None = None
    """What the GPU has, as the engine sees it."""


class PlannedPlacement(Schema):
    """One layout on one pool of like nodes."""

    pool: Word
    product: Annotated[str, Field(max_length=128)]
    tensor: Count
    pipeline: Count
    data: Count
    expert: Literal["Enabled", "Disabled"]
    nodes_per_replica: Count
    gpus_per_replica: Count
    replicas: Count
    """Planned here."""
    max_replicas: Count
    """How many would fit here if nobody else came."""
    memory: PlannedMemory
    kv_cache_tokens: int
    """Of one engine instance."""
    max_concurrency: int
    """Requests of the planned context length that one replica holds."""


class RejectedLayout(Schema):
    """A layout that lost, and by how much: need exceeds have."""

    pool: Word
    layout: Word
    reason: Word
    need_bytes: int | None = None
    have_bytes: int | None = None
    need: int | None = None
    """In `unit`, where that is not bytes."""
    have: int | None = None
    unit: Word | None = None


class SkippedNodeStatus(Schema):
    """A node that could not be planned on."""

    name: NodeName
    why: Annotated[str, Field(max_length=1024)]


class PlanStatus(Schema):
    """What was decided, and why."""

    hash: Word
    """Stands on every pod that was made from this plan."""
    why: Sentence | None = None
    """One line."""
    nearest: Sentence | None = None
    """The nearest thing that would fit, where nothing does."""
    context_length: Count | None = None
    """Tokens of prompt and answer that one request may have."""
    assumptions: Annotated[list[Sentence], Field(max_length=MAX_ASSUMPTIONS)] | None = None
    placements: Annotated[list[PlannedPlacement], Field(max_length=MAX_PLACEMENTS)] | None = None
    rejected: Annotated[list[RejectedLayout], Field(max_length=MAX_REJECTED)] | None = None
    """The nearest few."""
    skipped_nodes: Annotated[list[SkippedNodeStatus], Field(max_length=MAX_SKIPPED)] | None = None
    """Nodes with GPUs that could not be planned on."""
    computed_at: Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})] | None = None


class ReplicaState(Schema):
    """One replica: where it is, and whether the whole of it runs."""

    id: Count
    nodes: Annotated[list[NodeName], Field(max_length=MAX_NODES)] | None = None
    """Planned, in pod order, until the pods are bound; then where they are."""
    incarnation: Count | None = None
    """Counts the restarts of the whole group."""
    plan_hash: Word | None = None
    """Hash of what its engines run; replicas that a rollout has not reached yet have an older one."""
    ready: bool
    """Whether the leader answers and all followers run."""
    reason: Word | None = None
    message: Annotated[str, Field(max_length=1024)] | None = None


class InferenceDeploymentStatus(Schema):
    """Decisions and reasons; figures that move are metrics."""

    observed_generation: Count | None = None
    state: Annotated[str, Field(max_length=1024)] | None = None
    """One word, and the reason where something is wrong; for people, not for programs (they read conditions)."""
    layout: Annotated[str, Field(max_length=256)] | None = None
    """As in `TP4·PP1 × 2`."""
    gpu: Annotated[str, Field(max_length=256)] | None = None
    """GPU products in use."""
    ready: Annotated[str, Field(max_length=32)] | None = None
    """Ready and wanted replicas, as in `2/2`."""
    summary: Annotated[str, Field(max_length=1024)] | None = None
    """As in `2 of 2 replicas ready`."""
    plan: PlanStatus | None = None
    """What was decided, and why."""
    replica_states: (
        Annotated[list[ReplicaState], Field(max_length=MAX_REPLICA_STATES, json_schema_extra=keyed_by("id"))] | None
    ) = None
    """At most 256; `replicas` and `readyReplicas` count all."""
    replicas: Count | None = None
    """Replicas whose leader pod exists, ready or not."""
    ready_replicas: Count | None = None
    """Replicas whose leader answers and whose followers all run."""
    derived_replicas: Count | None = None
    """What the operator derived and wrote to `spec.replicas`; while both are equal it may derive again."""
    selector: Annotated[str, Field(max_length=512)] | None = None
    """Selects the leaders' pods, for the scale subresource."""
    endpoint: Annotated[str, Field(max_length=512)] | None = None
    """Base URL of the OpenAI API inside the cluster."""
    conditions: (
        Annotated[list[Condition], Field(max_length=len(CONDITIONS), json_schema_extra=keyed_by("type"))] | None
    ) = None
    """Accepted, Planned, Available, Progressing, Degraded, LayoutOptimal, ScalingActive."""
