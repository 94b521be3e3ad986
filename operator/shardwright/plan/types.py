"""The words of planning as frozen values: what is asked, what is answered, and why the rest lost.

Sizes are bytes, times microseconds, all integers. Nothing here decides.
"""

from dataclasses import dataclass, field
from functools import lru_cache

from shardwright.api.reasons import Reason
from shardwright.api.spec import CrossIslands, EngineName, Priority, Toleration
from shardwright.inventory.host import NOTHING_KNOWN, Host
from shardwright.inventory.types import ClaimAsk
from shardwright.models.profile import ModelProfile


@dataclass(frozen=True, slots=True, order=True)
class Layout:
    """How one replica is cut. GPUs per replica = tensor x pipeline x data."""

    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    expert: bool = False
    nodes_per_replica: int = 1

    @property
    def gpus_per_replica(self) -> int:
        """GPUs that one replica takes."""
        return self.tensor * self.pipeline * self.data

    @property
    def gpus_per_pod(self) -> int:
        """GPUs of each pod; all pods of a group have equally many."""
        return self.gpus_per_replica // self.nodes_per_replica

    def __str__(self) -> str:
        """As users read it: `TP4·PP2`, with DP and EP where they say something."""
        parts = [f"TP{self.tensor}", f"PP{self.pipeline}"]
        if self.data > 1:
            parts.append(f"DP{self.data}")
        if self.expert:
            parts.append("EP")
        return "·".join(parts)

    @property
    def text(self) -> str:
        """With the nodes, where one replica takes several: `TP8·PP2 over 2 nodes`."""
        return _text(self)


@lru_cache(maxsize=4096)
def in_one_pod(layout: Layout) -> Layout:
    """The cut without its pods: what memory and divisibility depend on."""
    return Layout(layout.tensor, layout.pipeline, layout.data, layout.expert)


@lru_cache(maxsize=4096)
def _text(layout: Layout) -> str:
    return str(layout) if layout.nodes_per_replica == 1 else f"{layout} over {layout.nodes_per_replica} nodes"


@dataclass(frozen=True, slots=True)
class LayoutPins:
    """What the user fixed; None = derived."""

    tensor: int | None = None
    pipeline: int | None = None
    data: int | None = None
    expert: bool | None = None
    nodes_per_replica: int | None = None


@dataclass(frozen=True, slots=True)
class QuotaRoom:
    """What a ResourceQuota leaves to a deployment: to all of its replicas together, those that run included."""

    resource: str
    """`nvidia.com/gpu`, …, or `pods`."""
    left: int
    quota: str
    """Name of the ResourceQuota that leaves least."""


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """Everything a plan depends on besides the inventory. The caller resolved the model's profile and the defaults."""

    model: ModelProfile
    engine: EngineName
    engine_version: str
    quantization: str | None
    """What to run as, where it differs from the checkpoint."""
    engine_args: tuple[tuple[str, str], ...]
    """The user's engine options, sorted by name, spelled with dashes."""
    priority: Priority
    context_length: int | None
    concurrency: int | None
    typical_prompt_tokens: int
    typical_output_tokens: int
    pins: LayoutPins
    replicas: int | None
    """Wanted; None = derive."""
    max_replicas: int | None
    max_gpus: int | None
    fill_free_gpus: bool
    node_selector: tuple[tuple[str, str], ...]
    tolerations: tuple[Toleration, ...]
    gpu_products: tuple[str, ...]
    gpu_prices_micro: tuple[tuple[str, int], ...]
    """Price of a GPU hour in millionths, by product."""
    allow_mixed_products: bool
    cross_islands: CrossIslands
    quotas: tuple[QuotaRoom, ...] = ()
    """By resource; one that is not named is not bounded."""
    time_per_token_target_microseconds: int = 50_000
    """For priority Throughput: the batch is cut until a request gets a token at least this often."""


@dataclass(frozen=True, slots=True)
class RankMemory:
    """Forecast of one GPU of a replica, bytes."""

    weights_bytes: int
    activation_bytes: int
    non_torch_bytes: int
    cuda_graph_bytes: int
    kv_cache_bytes: int
    """What is left for KV; negative when the rest does not fit."""


@dataclass(frozen=True, slots=True)
class MemoryForecast:
    """What a replica holds, by rank of (pipeline x tensor), and what follows for its users."""

    total_bytes: int
    """Of one GPU, as the engine sees it."""
    requested_bytes: int
    """Of it, what the engine may use."""
    ranks: tuple[RankMemory, ...]
    kv_cache_tokens: int
    """Of one engine instance (one data-parallel rank)."""
    max_concurrency: int
    """Requests of `context_length` tokens that one replica holds."""
    context_length: int
    fits: bool
    reasons: tuple[Reason, ...] = ()
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejection:
    """One layout that lost. `need` exceeds `have`; both are in `unit`."""

    pool: str
    layout: str
    reason: Reason
    need: int = 0
    have: int = 0
    unit: str = "bytes"


@dataclass(frozen=True, slots=True)
class Placement:
    """One layout on one pool, with the replicas that go there."""

    pool: str
    product: str
    vendor: str
    gpu_resource: str
    layout: Layout
    replicas: int
    max_replicas: int
    """How many would fit there if nobody else came."""
    memory: MemoryForecast
    replica_nodes: tuple[tuple[str, ...], ...] = ()
    """Per planned replica, its nodes in pod order."""
    pool_selector: tuple[tuple[str, str], ...] = ()
    """Node labels that single out the pool; empty where only node names do."""
    pool_nodes: tuple[str, ...] = ()
    host: Host = NOTHING_KNOWN
    """What the pool's nodes have besides GPUs, at the time of the plan; engines are told of it."""
    claim: ClaimAsk | None = None
    """How pods ask for their GPUs where not by count of `gpu_resource`."""
    compute_domain: bool = False
    """Whether pods of one replica need a ComputeDomain to reach each other as planned."""
    expected: str = ""
    """The declared pool whose nodes do not exist when this is planned; they are asked for by `pool_selector` alone."""

    @property
    def awaited_nodes(self) -> tuple[str, ...]:
        """Nodes of the planned replicas that an autoscaler must add, each once."""
        return tuple(dict.fromkeys(n for nodes in self.replica_nodes for n in nodes)) if self.expected else ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer. No placements = nothing fits, and `rejected` and `nearest` say why and what would."""

    placements: tuple[Placement, ...]
    rejected: tuple[Rejection, ...] = ()
    assumptions: tuple[str, ...] = ()
    why: str = ""
    """One line for the user."""
    nearest: str = ""
    """The nearest thing that would fit, when nothing does."""
    context_length: int = 0
    derived_replicas: int = 0
    reason: Reason = Reason.PLANNED
    skipped_nodes: tuple[tuple[str, str], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Cost:
    """Predicted speed of one replica at the batch it would run. All integers; the roofline behind them is in `cost`."""

    batch: int
    """Requests served at once."""
    time_per_token_microseconds: int
    """Between two tokens of one request, prefills of others included."""
    decode_step_microseconds: int
    """One decode step alone at the asked concurrency (1 where none was asked)."""
    first_token_microseconds: int
    """Prefill of one typical prompt on an idle replica."""
    milli_tokens_per_second: int
    """Output tokens of the whole replica, in thousandths."""
    meets_target: bool
    """Whether time per token stays within the target."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """All that is known of a candidate on pools of one kind: why it loses, or what it holds and how fast it is."""

    layout: Layout
    rejections: tuple[Rejection, ...] = ()
    """Of every check that it failed; their `pool` is filled in by who asks."""
    memory: MemoryForecast | None = None
    cost: Cost | None = None
    crosses_island: bool = False
    context_length: int = 0
