"""The memory forecast of one replica, by rank: weights, activations, what is outside torch, what is left for KV.

Follows the engine's own budget (docs/memory.md): requested = total x utilisation; KV = requested - the rest; the
fullest pipeline stage decides for all. Never raises on odd numbers: what cannot be is a reason. Knows no cluster.
"""

from dataclasses import dataclass
from functools import lru_cache

from shardwright.api.reasons import Reason
from shardwright.api.spec import EngineName
from shardwright.catalog.types import GpuProduct, LinkKind, Vendor
from shardwright.models.profile import ModelProfile
from shardwright.plan.divisibility import broken
from shardwright.plan.memory_activation import Batch, stage_activations
from shardwright.plan.memory_arguments import EngineArguments
from shardwright.plan.memory_graphs import graph_bytes
from shardwright.plan.memory_kv import Pool, fill, largest_context, pool_shape
from shardwright.plan.memory_pages import CacheCase
from shardwright.plan.memory_versions import VersionFacts, version_facts
from shardwright.plan.memory_weights import stage_weights
from shardwright.plan.types import Layout, MemoryForecast, RankMemory

__all__ = ["EngineArguments", "forecast"]
DRAFTING = frozenset({"mtp", "deepseek_mtp"})
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Setting:
    """One question, with the version's facts looked up and the batch limits settled."""

    cache: CacheCase
    gpu: GpuProduct
    memory_bytes: int
    engine: EngineName
    batch: Batch

    @property
    def utilization_ppm(self) -> int:
        """The fraction in use, millionths."""
        return self.cache.arguments.gpu_memory_utilization_ppm or self.cache.facts.utilization_ppm

    @property
    def requested_bytes(self) -> int:
        """Of the GPU's memory, what the engine may use."""
        return -(-self.memory_bytes * self.utilization_ppm // MILLION)


@lru_cache(maxsize=16384)
def forecast(  # the seam of the planner: each is a thing of its own
    profile: ModelProfile,
    layout: Layout,
    gpu: GpuProduct,
    memory_bytes: int,
    engine: EngineName,
    engine_version: str | None,
    args: EngineArguments,
) -> MemoryForecast:
    """What one replica needs and holds. `memory_bytes`: total of one GPU as the engine's runtime reports it."""
    facts = version_facts(engine, engine_version)
    drafts = args.speculative_method in DRAFTING and bool(profile.draft_layers)
    cache = CacheCase(profile, sane(layout), args, facts, drafts)
    setting = Setting(cache, gpu, memory_bytes, engine, batch_of(cache, memory_bytes, gpu.name))
    ranks = rank_memory(setting)
    context, pool = fill_pool(setting, ranks)
    reasons = (*shape_problems(cache, pool, setting.batch.sequences), *memory_problems(ranks, pool))
    return MemoryForecast(
        total_bytes=memory_bytes,
        requested_bytes=setting.requested_bytes,
        ranks=ranks,
        kv_cache_tokens=pool.tokens,
        max_concurrency=pool.concurrency_millis // 1000 * cache.layout.data,
        context_length=context,
        fits=not reasons,
        reasons=tuple(dict.fromkeys(reasons)),
        assumptions=assumptions(setting, engine_version),
    )


def sane(layout: Layout) -> Layout:
    """The layout with every size at least 1."""
    sizes = (max(1, layout.tensor), max(1, layout.pipeline), max(1, layout.data))
    return Layout(*sizes, expert=layout.expert, nodes_per_replica=max(1, layout.nodes_per_replica))


def batch_of(case: CacheCase, memory_bytes: int, product: str) -> Batch:
    """The batch limits: as asked, else the device's defaults, tokens capped at what all sequences could fill."""
    args = case.arguments
    tokens, sequences = case.facts.batch_limits(memory_bytes, product)
    sequences = args.max_num_seqs or sequences
    context = args.max_model_len if args.max_model_len and args.max_model_len > 0 else case.profile.max_context_length
    return Batch(args.max_num_batched_tokens or max(1, min(tokens, sequences * context)), sequences, context)


def rank_memory(setting: Setting) -> tuple[RankMemory, ...]:
    """Every rank's memory, in order pipeline x tensor."""
    case = setting.cache
    padding = case.facts.expert_padding(setting.gpu.compute_capability, setting.gpu.vendor)
    weights = stage_weights(case.profile, case.layout, case.drafts, padding)
    peaks = stage_activations(case.profile, case.layout, case.facts, setting.batch)
    ranks = []
    for weight, peak in zip(weights, peaks, strict=True):
        ranks += [one_rank(setting, max(0, weight - case.arguments.cpu_offload_bytes), peak)] * case.layout.tensor
    return tuple(ranks)


def one_rank(setting: Setting, weights: int, peak: int) -> RankMemory:
    """The budget of one rank."""
    case = setting.cache
    other = outside_torch(setting)
    graphs = 0
    if not case.arguments.enforce_eager:
        graphs = graph_bytes(case.profile, case.layout, case.facts, setting.batch.sequences)
    used = weights + peak + other + (graphs if case.facts.graphs_in_budget else 0)
    left = setting.requested_bytes - used
    if setting.engine is EngineName.TRTLLM:  # a fraction of what is free after the peak, not of the total
        left = (setting.memory_bytes - used) * setting.utilization_ppm // MILLION
    if case.arguments.kv_cache_memory_bytes is not None:
        left = case.arguments.kv_cache_memory_bytes
    return RankMemory(weights, peak, other, graphs, left)


def outside_torch(setting: Setting) -> int:
    """Context, collectives and libraries, with a reserve where too few logs check the rest."""
    facts, layout = setting.cache.facts, setting.cache.layout
    switched = setting.gpu.link in (LinkKind.NVSWITCH, LinkKind.XGMI)
    known = facts.non_torch_bytes(layout.tensor, layout.pipeline, switched)
    return known + (setting.memory_bytes * facts.unmeasured_reserve_ppm // MILLION if is_unmeasured(setting.gpu) else 0)


def is_unmeasured(gpu: GpuProduct) -> bool:
    """Whether start-up logs of this vendor's GPUs are too few to check the forecast."""
    return gpu.vendor is not Vendor.NVIDIA


def fill_pool(setting: Setting, ranks: tuple[RankMemory, ...]) -> tuple[int, Pool]:
    """(context length, blocks that the ranks' KV memory makes)."""
    case, context = setting.cache, setting.batch.context
    in_flight = setting.batch.tokens * batches_in_flight(case.facts, case.layout)
    stages = [rank.kv_cache_bytes for rank in ranks[:: case.layout.tensor]]
    if case.arguments.max_model_len == -1:
        context = largest_context(case, stages, context, in_flight)
    return context, fill(case, pool_shape(case, context, in_flight), stages, context)


def batches_in_flight(facts: VersionFacts, layout: Layout) -> int:
    """Batches that may be under way at once, whose tokens a sliding window must hold too."""
    return max(facts.async_batches, layout.pipeline) if facts.async_batches > 1 else 1


def shape_problems(case: CacheCase, pool: Pool, sequences: int) -> tuple[Reason, ...]:
    """What does not divide, and too few state slots: only captured graphs need one for every sequence."""
    found = tuple(rule.reason for rule in broken(case.profile, case.layout, case.facts))
    graphs = not case.arguments.enforce_eager
    if case.profile.has_state and graphs and 0 < pool.blocks < sequences:
        return (*found, Reason.STATE_SLOTS_TOO_FEW)
    return found


def memory_problems(ranks: tuple[RankMemory, ...], pool: Pool) -> tuple[Reason, ...]:
    """Why the memory does not suffice; empty when it does."""
    if any(rank.kv_cache_bytes <= 0 for rank in ranks):
        return (Reason.WEIGHTS_DO_NOT_FIT,)
    if pool.blocks < 2:
        return (Reason.KV_CACHE_TOO_SMALL,)
    return () if pool.fits_one else (Reason.CONTEXT_TOO_LONG,)


def assumptions(setting: Setting, version: str | None) -> tuple[str, ...]:
    """What the forecast took for granted."""
    facts, stated = setting.cache.facts, list(setting.cache.profile.assumptions)
    if not facts.known:
        stated.append(f"engine version {version or 'not stated'}: the facts of the default version are used")
    if is_unmeasured(setting.gpu) and facts.unmeasured_reserve_ppm:
        held = facts.unmeasured_reserve_ppm / 10_000
        stated.append(
            f"{setting.gpu.vendor} GPUs: few logs check this forecast, so {held:g} % of the memory is held back"
        )
    if setting.engine is EngineName.TRTLLM:
        stated.append("trtllm memory is unmeasured: no start-up log was found to check its rule against")
    return tuple(stated)
