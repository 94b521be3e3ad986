"""What a user may say in an InferenceDeployment, as pydantic models; the CRD is generated from them.

Absent always means "derive it". Every string, list and map is bounded so that CEL stays within its cost budget. Nothing
here knows a cluster, a GPU or an engine's flags.
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Name = Annotated[str, Field(min_length=1, max_length=253)]
Text = Annotated[str, Field(max_length=4096)]
GpuCount = Annotated[int, Field(ge=1, le=100_000)]
ParallelSize = Annotated[int, Field(ge=0, le=1024)]
Tokens = Annotated[int, Field(ge=1, le=100_000_000)]
PodFragment = dict[str, Any]


class Schema(BaseModel):
    """Base of every model: camelCase outside, snake_case inside, unknown fields refused, immutable."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, use_attribute_docstrings=True
    )


class EngineName(StrEnum):
    """The inference engines that can be rendered."""

    VLLM = "vllm"
    TRTLLM = "trtllm"


class Priority(StrEnum):
    """What the chosen layout should be best at."""

    THROUGHPUT = "Throughput"
    LATENCY = "Latency"
    COST = "Cost"


class ExpertParallelism(StrEnum):
    """Whether whole experts are spread over the GPUs of a replica."""

    AUTO = "Auto"
    ENABLED = "Enabled"
    DISABLED = "Disabled"


class CrossIslands(StrEnum):
    """Whether tensor parallelism may cross the border between two groups of well-linked GPUs."""

    NEVER = "Never"
    WHEN_NOTHING_ELSE_FITS = "WhenNothingElseFits"
    FREELY = "Freely"


class ScalingMode(StrEnum):
    """Who owns the autoscaler."""

    MANAGED = "Managed"
    EXTERNAL = "External"


class RouterMode(StrEnum):
    """What stands before the replicas."""

    NONE = "None"
    BUILTIN = "Builtin"
    GATEWAY = "Gateway"


class Replan(StrEnum):
    """When a running layout may be replaced by another."""

    WHEN_BROKEN = "WhenBroken"
    ALWAYS = "Always"
    NEVER = "Never"


class SecretKeyReference(Schema):
    """One key of a Secret in the deployment's namespace."""

    name: Name
    key: Name


class HubSource(Schema):
    """The Hugging Face Hub or a mirror of it."""

    endpoint: Annotated[str, Field(max_length=2048, pattern=r"^https?://.+")] | None = None
    """Base URL of a mirror; default: the public Hub."""
    token_secret_ref: SecretKeyReference | None = None
    """Token for gated or private models."""


class PersistentVolumeClaimSource(Schema):
    """A volume that already holds the model's files."""

    claim_name: Name
    path: Annotated[str, Field(max_length=1024)] = ""
    """Folder of the model inside the volume; default: its root."""


class HostPathSource(Schema):
    """A folder that exists on every node."""

    path: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^/.*")]


class ImageSource(Schema):
    """An OCI image that holds the model's files, mounted as a volume."""

    reference: Annotated[str, Field(min_length=1, max_length=1024)]
    path: Annotated[str, Field(max_length=1024)] = ""


class ModelSource(Schema):
    """Where the engine reads the weights; exactly one kind. Absent: the Hub."""

    hub: HubSource | None = None
    persistent_volume_claim: PersistentVolumeClaimSource | None = None
    host_path: HostPathSource | None = None
    image: ImageSource | None = None


class ConfigMapReference(Schema):
    """A ConfigMap in the deployment's namespace."""

    name: Name


class ModelFacts(Schema):
    """Facts of a model that the operator cannot read by itself."""

    config_map_ref: ConfigMapReference
    """Key `config.json`, and optionally `model.safetensors.index.json`."""


class ModelSpec(Schema):
    """The model to serve."""

    id: Annotated[str, Field(min_length=1, max_length=512)]
    """Hub id such as `Qwen/Qwen3-32B`; also the served name unless `servedName` is set."""
    served_name: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Name that clients use in requests."""
    revision: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Branch, tag or commit on the Hub."""
    quantization: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """What to run the weights as; default: what the checkpoint is."""
    source: ModelSource | None = None
    facts: ModelFacts | None = None


class EnvironmentVariable(Schema):
    """One literal environment variable of the engine."""

    name: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]
    value: Text = ""


class EngineSpec(Schema):
    """The inference engine and what to pass it."""

    name: EngineName = EngineName.VLLM
    version: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[0-9]+\.[0-9]+(\.[0-9]+)?[0-9A-Za-z.+-]*$")] | None = None
    """Decides which facts about the engine are used. Default: 0.32.0 for vllm, 1.2.1 for trtllm."""
    image: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """Container image; default: the chart's, by engine and GPU vendor."""
    args: Annotated[
        dict[Annotated[str, Field(max_length=128)], Annotated[str, Field(max_length=16384)]], Field(max_length=64)
    ] | None = None
    """The engine's own option names without dashes in front, each with its value as text; layout options are refused."""
    env: Annotated[list[EnvironmentVariable], Field(max_length=64)] | None = None


class ObjectiveSpec(Schema):
    """What the deployment is to be good at, and how much it must hold."""

    priority: Priority = Priority.THROUGHPUT
    context_length: Tokens | None = None
    """Tokens of prompt and answer that one request may have. Default: the model's own, or the largest that fits."""
    concurrency: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Requests at that context which the whole deployment must hold at once."""
    typical_prompt_tokens: Tokens | None = None
    typical_output_tokens: Tokens | None = None


class LayoutSpec(Schema):
    """Pins of the parallel layout. Absent, 0 and Auto all mean derived; what is pinned is checked again."""

    tensor: ParallelSize | None = None
    pipeline: ParallelSize | None = None
    data: ParallelSize | None = None
    expert: ExpertParallelism = ExpertParallelism.AUTO
    nodes_per_replica: ParallelSize | None = None


class Toleration(Schema):
    """As in a Pod."""

    key: Annotated[str, Field(max_length=317)] | None = None
    operator: Annotated[str, Field(max_length=16)] | None = None
    value: Annotated[str, Field(max_length=253)] | None = None
    effect: Annotated[str, Field(max_length=32)] | None = None
    toleration_seconds: int | None = None


class PlacementSpec(Schema):
    """Which GPUs may be used, and how many."""

    node_selector: Annotated[
        dict[Annotated[str, Field(max_length=317)], Annotated[str, Field(max_length=63)]], Field(max_length=32)
    ] | None = None
    tolerations: Annotated[list[Toleration], Field(max_length=64)] | None = None
    gpu_products: Annotated[list[Annotated[str, Field(min_length=1, max_length=128)]], Field(max_length=32)] | None = None
    """Ordered preference; default: any product, best objective first."""
    max_gpus: Annotated[int, Field(alias="maxGPUs", ge=1, le=100_000)] | None = None
    """The most GPUs that all replicas together may take."""
    fill_free_gpus: bool = Field(default=False, alias="fillFreeGPUs")
    """Derive as many replicas as the free GPUs hold."""
    gpu_prices: Annotated[
        dict[Annotated[str, Field(max_length=128)], Annotated[str, Field(max_length=16, pattern=r"^[0-9]+(\.[0-9]+)?$")]],
        Field(max_length=32),
    ] | None = None
    """Price of one GPU for one hour by product, for priority Cost."""
    allow_mixed_products: bool = False
    """Whether replicas may run on unlike GPUs; each replica is always of one kind."""
    cross_islands: CrossIslands = CrossIslands.WHEN_NOTHING_ELSE_FITS
    priority_class_name: Name | None = None
    scheduler_name: Name | None = None
    queue_name: Name | None = None
    """Kueue local queue."""
    runtime_class_name: Name | None = None


class MetricTarget(Schema):
    """One thing to scale on."""

    type: Annotated[str, Field(max_length=64)] = "queueDepth"
    """`queueDepth`: waiting requests per replica."""
    target: Annotated[int, Field(ge=1, le=1_000_000)]


class AutoscalingSpec(Schema):
    """How the number of replicas follows the load."""

    mode: ScalingMode = ScalingMode.MANAGED
    min_replicas: Annotated[int, Field(ge=0, le=10_000)] = 1
    max_replicas: Annotated[int, Field(ge=1, le=10_000)] | None = None
    metrics: Annotated[list[MetricTarget], Field(min_length=1, max_length=8)] | None = None
    behavior: PodFragment | None = None
    """As `behavior` of an autoscaling/v2 HorizontalPodAutoscaler."""


class ServiceSpec(Schema):
    """The Service that clients use."""

    type: Annotated[str, Field(max_length=32, pattern=r"^(ClusterIP|NodePort|LoadBalancer)$")] = "ClusterIP"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    annotations: Annotated[
        dict[Annotated[str, Field(max_length=317)], Annotated[str, Field(max_length=4096)]], Field(max_length=32)
    ] | None = None


class RouterSpec(Schema):
    """A router before the replicas."""

    mode: RouterMode = RouterMode.NONE


class AdapterSpec(Schema):
    """A LoRA adapter."""

    name: Name
    source: Annotated[str, Field(min_length=1, max_length=1024)]


class RolloutSpec(Schema):
    """How a changed spec reaches running replicas."""

    max_unavailable: Annotated[int, Field(ge=0, le=10_000)] = 1
    max_surge: Annotated[int, Field(ge=0, le=10_000)] = 0
    replan: Replan = Replan.WHEN_BROKEN


class RestartSpec(Schema):
    """How often a broken group is made again."""

    budget: Annotated[int, Field(ge=0, le=1000)] = 5
    reset_after: Annotated[str, Field(max_length=16, pattern=r"^[0-9]+(s|m|h)$")] = "10m"


class PodTemplateSpec(Schema):
    """What to add to the engine's pods; fragments are those of a Pod."""

    labels: Annotated[dict[str, str], Field(max_length=64)] | None = None
    annotations: Annotated[dict[str, str], Field(max_length=64)] | None = None
    resources: PodFragment | None = None
    security_context: PodFragment | None = None
    service_account_name: Name | None = None
    image_pull_secrets: Annotated[list[PodFragment], Field(max_length=16)] | None = None
    image_pull_policy: Annotated[str, Field(pattern=r"^(Always|IfNotPresent|Never)$", max_length=16)] | None = None
    env: Annotated[list[PodFragment], Field(max_length=64)] | None = None
    volumes: Annotated[list[PodFragment], Field(max_length=64)] | None = None
    volume_mounts: Annotated[list[PodFragment], Field(max_length=64)] | None = None
    init_containers: Annotated[list[PodFragment], Field(max_length=16)] | None = None
    affinity: PodFragment | None = None
    topology_spread_constraints: Annotated[list[PodFragment], Field(max_length=16)] | None = None
    termination_grace_period_seconds: Annotated[int, Field(ge=0, le=86400)] | None = None


class InferenceDeploymentSpec(Schema):
    """A model, and what its user wants from it."""

    model: ModelSpec
    engine: EngineSpec = EngineSpec()
    objective: ObjectiveSpec = ObjectiveSpec()
    layout: LayoutSpec = LayoutSpec()
    placement: PlacementSpec = PlacementSpec()
    replicas: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """Complete copies of the model. Absent: derived once from concurrency, else budget, else 1."""
    suspend: bool = False
    """Keep the plan and run nothing."""
    autoscaling: AutoscalingSpec | None = None
    service: ServiceSpec = ServiceSpec()
    router: RouterSpec = RouterSpec()
    adapters: Annotated[list[AdapterSpec], Field(max_length=64)] | None = None
    rollout: RolloutSpec = RolloutSpec()
    restart: RestartSpec = RestartSpec()
    startup_timeout: Annotated[str, Field(max_length=16, pattern=r"^[0-9]+(s|m|h)$")] = "30m"
    pod_template: PodTemplateSpec = PodTemplateSpec()
