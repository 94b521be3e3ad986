"""What a user may say in an InferenceDeployment, as pydantic models; the CRD is generated from them.

Absent always means "derive it". Every string, list and map is bounded so that CEL stays within its cost budget. Nothing
here knows a cluster, a GPU or an engine's flags.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Name = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
"""Name of a Kubernetes object."""
Key = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
"""Key of a ConfigMap or Secret."""
Text = Annotated[str, Field(max_length=4096)]
LabelKey = Annotated[str, Field(min_length=1, max_length=317, pattern=r"^([-a-z0-9.]{1,253}/)?[-A-Za-z0-9_.]{1,63}$")]
LabelValue = Annotated[str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]
Labels = Annotated[dict[LabelKey, LabelValue], Field(max_length=64)]
Annotations = Annotated[dict[LabelKey, Text], Field(max_length=64)]
ProductName = Annotated[str, Field(min_length=1, max_length=128)]
Duration = Annotated[str, Field(min_length=2, max_length=8, pattern=r"^[1-9][0-9]*(s|m|h)$")]
ParallelSize = Annotated[int, Field(ge=0, le=1024)]
Tokens = Annotated[int, Field(ge=1, le=100_000_000)]
Quantity = Annotated[str, Field(max_length=32, pattern=r"^[1-9][0-9]*(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$")]
"""Bytes as Kubernetes writes them."""
PodFragment = dict[str, Any]
"""A piece of a Pod, passed on as it is; Kubernetes itself checks it when the pods' template is applied."""


def keyed_by(key: str) -> dict[str, str | list[str]]:
    """Say that one key, which must not repeat, tells the items of a list apart."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


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
    key: Key


class HubCache(Schema):
    """Where a model's downloads are kept instead of on the node: exactly one of claimName and size."""

    claim_name: Name | None = None
    """A claim that pods on all nodes can mount (ReadWriteMany): one of them downloads, for all."""
    size: Quantity | None = None
    """A volume of each pod's own, such as `200Gi`, that is made with the pod and removed with it."""
    storage_class_name: Name | None = None
    """Class of the pods' own volumes; default: the cluster's."""


class HubSource(Schema):
    """The Hugging Face Hub or a mirror of it."""

    endpoint: Annotated[str, Field(max_length=2048, pattern=r"^https?://[^\s]+$")] | None = None
    """Base URL of a mirror; default: the public Hub."""
    token_secret_ref: SecretKeyReference | None = None
    """Token for gated or private models."""
    cache: HubCache | None = None
    """Where downloads are kept. Default: the installation's folder on each node, else the pod's own disk."""


class PersistentVolumeClaimSource(Schema):
    """A volume that already holds the model's files."""

    claim_name: Name
    path: Annotated[str, Field(max_length=1024)] = ""
    """Folder of the model inside the volume; default: its root."""


class HostPathSource(Schema):
    """A folder that exists on every node."""

    path: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^/.*")]
    """Absolute path on the node."""


class ImageSource(Schema):
    """An OCI image that holds the model's files, mounted as a volume."""

    reference: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\s]+$")]
    path: Annotated[str, Field(max_length=1024)] = ""
    """Folder of the model inside the image; default: its root."""


class ModelSource(Schema):
    """Where the engine reads the weights; exactly one kind. Absent: the Hub."""

    hub: HubSource | None = None
    """The Hugging Face Hub or a mirror of it."""
    persistent_volume_claim: PersistentVolumeClaimSource | None = None
    """A volume that already holds the model's files."""
    host_path: HostPathSource | None = None
    """A folder that exists on every node."""
    image: ImageSource | None = None
    """An OCI image that holds the model's files."""


class ConfigMapReference(Schema):
    """A ConfigMap in the deployment's namespace."""

    name: Name


class ModelFacts(Schema):
    """Facts of a model that the operator cannot read by itself."""

    config_map_ref: ConfigMapReference
    """Its key `config.json` holds the model's own file of that name."""


class ModelSpec(Schema):
    """The model to serve."""

    id: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\s]+$")]
    """Hub id such as `Qwen/Qwen3-32B`; also the served name unless `servedName` is set."""
    served_name: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\s]+$")] | None = None
    """Name that clients use in requests."""
    revision: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\s]+$")] | None = None
    """Branch, tag or commit on the Hub."""
    quantization: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")] | None = None
    """What to run the weights as; default: what the checkpoint is."""
    source: ModelSource | None = None
    """Where the engine reads the weights; exactly one kind. Default: the public Hub."""
    facts: ModelFacts | None = None
    """Facts of a model that the operator cannot read by itself."""


class EnvironmentVariable(Schema):
    """One literal environment variable of the engine."""

    name: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]
    value: Annotated[str, Field(max_length=16384)] = ""


class EngineSpec(Schema):
    """The inference engine and what to pass it."""

    name: EngineName = EngineName.VLLM
    """Which engine runs the model."""
    version: (
        Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[0-9]+\.[0-9]+(\.[0-9]+)?[0-9A-Za-z.+-]*$")] | None
    ) = None
    """Decides which facts about the engine are used. Default: 0.32.0 for vllm, 1.2.1 for trtllm."""
    image: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\s]+$")] | None = None
    """Container image; default: the chart's, by engine and GPU vendor."""
    args: (
        Annotated[
            dict[Annotated[str, Field(min_length=1, max_length=128)], Annotated[str, Field(max_length=16384)]],
            Field(max_length=64),
        ]
        | None
    ) = None
    """The engine's own option names without leading dashes, each with its value as text; `layout` sets the layout."""
    env: Annotated[list[EnvironmentVariable], Field(max_length=64, json_schema_extra=keyed_by("name"))] | None = None
    """Environment variables of the engine's container."""


class ObjectiveSpec(Schema):
    """What the deployment is to be good at, and how much it must hold."""

    priority: Priority = Priority.THROUGHPUT
    """Throughput: most tokens per second and GPU. Latency: least time per token. Cost: cheapest or fewest GPUs."""
    context_length: Tokens | None = None
    """Tokens of prompt and answer that one request may have. Default: the model's own, or the largest that fits."""
    concurrency: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Requests at that context which the whole deployment must hold at once."""
    typical_prompt_tokens: Tokens | None = None
    """Tokens of an ordinary prompt; layouts are compared at this length."""
    typical_output_tokens: Tokens | None = None
    """Tokens of an ordinary answer; layouts are compared at this length."""


class LayoutSpec(Schema):
    """Pins of the parallel layout. Absent, 0 and Auto all mean derived; what is pinned is checked again."""

    tensor: ParallelSize | None = None
    """GPUs that share each layer."""
    pipeline: ParallelSize | None = None
    """Stages that the layers are dealt over."""
    data: ParallelSize | None = None
    """Attention replicas inside one replica, for mixture-of-experts models; else use `replicas`."""
    expert: ExpertParallelism = ExpertParallelism.AUTO
    """Whether whole experts are spread over the GPUs of a replica."""
    nodes_per_replica: ParallelSize | None = None
    """Pods, each on a node of its own, that one replica takes; all have equally many GPUs."""


class Toleration(Schema):
    """As in a Pod."""

    key: Annotated[str, Field(max_length=317)] | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: Annotated[str, Field(max_length=63)] | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = None


class PlacementSpec(Schema):
    """Which GPUs may be used, and how many."""

    node_selector: Labels | None = None
    """Labels that a node must carry."""
    tolerations: Annotated[list[Toleration], Field(max_length=64)] | None = None
    """Taints that do not keep the pods away."""
    gpu_products: Annotated[list[ProductName], Field(min_length=1, max_length=32)] | None = None
    """Ordered preference; default: any product, best objective first."""
    max_gpus: Annotated[int, Field(ge=1, le=100_000)] | None = Field(default=None, alias="maxGPUs")
    """The most GPUs that all replicas together may take."""
    fill_free_gpus: bool = Field(default=False, alias="fillFreeGPUs")
    """Derive as many replicas as the free GPUs hold."""
    gpu_prices: (
        Annotated[
            dict[ProductName, Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[0-9]+(\.[0-9]{1,6})?$")]],
            Field(max_length=32),
        ]
        | None
    ) = None
    """Price of one GPU for one hour by product, for priority Cost."""
    allow_mixed_products: bool = False
    """Whether replicas may run on unlike GPUs; each replica is always of one kind."""
    cross_islands: CrossIslands = CrossIslands.WHEN_NOTHING_ELSE_FITS
    """Whether tensor parallelism may cross the border between two groups of well-linked GPUs of a node."""
    priority_class_name: Name | None = None
    """PriorityClass of the pods."""
    scheduler_name: Name | None = None
    """Scheduler of the pods; default: the cluster's."""
    queue_name: Name | None = None
    """Kueue local queue."""
    runtime_class_name: Name | None = None
    """RuntimeClass of the pods."""


class MetricTarget(Schema):
    """One thing to scale on."""

    type: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z][a-zA-Z0-9]*$")]
    """`queueDepth`: requests that wait. `requestsInHand`: requests that run or wait. Both summed over the replicas."""
    target: Annotated[int, Field(ge=1, le=1_000_000)]
    """Value per replica that the autoscaler steers to."""


class AutoscalingSpec(Schema):
    """How the number of replicas follows the load."""

    mode: ScalingMode = ScalingMode.MANAGED
    """Managed: the operator keeps a HorizontalPodAutoscaler. External: your own autoscaler scales this object."""
    min_replicas: Annotated[int, Field(ge=0, le=10_000)] = 1
    """Never fewer; 0 = scale to zero."""
    max_replicas: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Never more. Default: what is wanted, or what fits on the free GPUs, whichever is more."""
    metrics: (
        Annotated[list[MetricTarget], Field(min_length=1, max_length=8, json_schema_extra=keyed_by("type"))] | None
    ) = None
    """What to scale on; the metric that asks for the most replicas wins.

    Default: requestsInHand at three quarters of the typical requests that a replica computes at once, and queueDepth 4.
    """
    behavior: PodFragment | None = None
    """As `behavior` of an autoscaling/v2 HorizontalPodAutoscaler."""


class ServiceSpec(Schema):
    """The Service that clients use."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """As in a Service."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    """Port of the Service."""
    annotations: Annotations | None = None
    """Annotations of the Service."""


class RouterSpec(Schema):
    """A router before the replicas."""

    mode: RouterMode = RouterMode.NONE
    """What stands before the replicas."""


class AdapterSpec(Schema):
    """A LoRA adapter."""

    name: Name
    """Name that clients use in requests."""
    source: Annotated[str, Field(min_length=1, max_length=1024)]
    """Hub id or path."""


class RolloutSpec(Schema):
    """How a changed spec reaches running replicas."""

    max_unavailable: Annotated[int, Field(ge=0, le=10_000)] = 1
    """Replicas that may be away at once."""
    max_surge: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Replicas that may exist beyond the wanted number; each needs free GPUs."""
    replan: Replan = Replan.WHEN_BROKEN
    """When a running layout may be replaced by another."""


class RestartSpec(Schema):
    """How often a broken group is made again."""

    budget: Annotated[int, Field(ge=0, le=1000)] = 5
    """Restarts of one group before it is left for a person to look at."""
    reset_after: Duration = "10m"
    """A group that was healthy for so long has its whole budget again."""


class PodTemplateSpec(Schema):
    """What to add to the engine's pods; fragments are those of a Pod."""

    labels: Labels | None = None
    annotations: Annotations | None = None
    resources: PodFragment | None = None
    """Of the engine's container; GPUs are the plan's and cannot be set here."""
    security_context: PodFragment | None = None
    """Of the pod."""
    service_account_name: Name | None = None
    image_pull_secrets: Annotated[list[PodFragment], Field(max_length=16)] | None = None
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    env: Annotated[list[PodFragment], Field(max_length=64)] | None = None
    """Environment of the engine's container, `valueFrom` included."""
    volumes: Annotated[list[PodFragment], Field(max_length=64)] | None = None
    volume_mounts: Annotated[list[PodFragment], Field(max_length=64)] | None = None
    """Of the engine's container."""
    init_containers: Annotated[list[PodFragment], Field(max_length=16)] | None = None
    affinity: PodFragment | None = None
    topology_spread_constraints: Annotated[list[PodFragment], Field(max_length=16)] | None = None
    termination_grace_period_seconds: Annotated[int, Field(ge=0, le=86400)] | None = None


class InferenceDeploymentSpec(Schema):
    """A model, and what its user wants from it."""

    model: ModelSpec
    """The model to serve."""
    engine: EngineSpec = EngineSpec()
    """The inference engine and what to pass it."""
    objective: ObjectiveSpec = ObjectiveSpec()
    """What the deployment is to be good at, and how much it must hold."""
    layout: LayoutSpec = LayoutSpec()
    """Pins of the parallel layout. Absent, 0 and Auto all mean derived; what is pinned is checked again."""
    placement: PlacementSpec = PlacementSpec()
    """Which GPUs may be used, and how many."""
    replicas: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """Complete copies of the model. Absent: derived once from concurrency, else budget, else 1."""
    suspend: bool = False
    """Keep the plan and run nothing."""
    autoscaling: AutoscalingSpec | None = None
    """How the number of replicas follows the load. Absent: it does not."""
    service: ServiceSpec = ServiceSpec()
    """The Service that clients use."""
    router: RouterSpec = RouterSpec()
    """A router before the replicas."""
    adapters: Annotated[list[AdapterSpec], Field(max_length=64, json_schema_extra=keyed_by("name"))] | None = None
    """LoRA adapters."""
    rollout: RolloutSpec = RolloutSpec()
    """How a changed spec reaches running replicas."""
    restart: RestartSpec = RestartSpec()
    """How often a broken group is made again."""
    startup_timeout: Duration = "30m"
    """Time that an engine may take to load the model and answer."""
    pod_template: PodTemplateSpec = PodTemplateSpec()
    """What to add to the engine's pods."""
