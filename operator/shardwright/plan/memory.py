"""The memory forecast of one replica: weights, activations, everything outside torch, and what is left for KV, on each rank.

Follows the engine's own budget (docs/memory.md): requested = total x utilisation; KV = requested - the rest; the fullest pipeline
stage decides for all. Never raises on odd numbers: what cannot be is a reason. Knows no cluster.
"""

from functools import lru_cache

from shardwright.api.reasons import Reason
from shardwright.api.spec import EngineName
from shardwright.catalog.types import GpuProduct, LinkKind, Vendor
from shardwright.models.profile import ModelProfile
from shardwright.plan.memory_activation import stage_activations
from shardwright.plan.memory_arguments import EngineArguments
from shardwright.plan.memory_graphs import graph_bytes
from shardwright.plan.memory_kv import Pool, fill, pool_shape
from shardwright.plan.memory_shapes import shape_problems
from shardwright.plan.memory_versions import VersionFacts, version_facts
from shardwright.plan.memory_weights import stage_weights
from shardwright.plan.types import Layout, MemoryForecast, RankMemory

__all__ = ["EngineArguments", "forecast"]
DRAFTING = frozenset({"mtp", "deepseek_mtp"})
MILLION = 1_000_000


@lru_cache(maxsize=16384)
def forecast(
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
    layout = sane(layout)
    tokens, sequences = batch_limits(args, facts, memory_bytes, gpu.name)
    context = args.max_model_len if args.max_model_len and args.max_model_len > 0 else profile.max_context_length
    tokens = max(1, min(tokens, sequences * context)) if args.max_num_batched_tokens is None else tokens
    drafts = args.speculative_method in DRAFTING and bool(profile.draft_layers)
    requested = -(-memory_bytes * (args.gpu_memory_utilization_ppm or facts.utilization_ppm) // MILLION)
    ranks = rank_memory(profile, layout, gpu, facts, args, requested, memory_bytes, tokens, sequences, context, drafts, engine)
    in_flight = tokens * (max(facts.async_batches, layout.pipeline) if facts.async_batches > 1 else 1)
    stages = [rank.kv_cache_bytes for rank in ranks[:: layout.tensor]]
    if args.max_model_len == -1:
        context = largest_context(profile, layout, args, facts, stages, context, in_flight, drafts)
    shape = pool_shape(profile, layout, args, facts, context, in_flight, drafts)
    pool = fill(shape, facts, args, stages, context)
    reasons = (*shape_problems(profile, layout, args, facts, pool, sequences), *memory_problems(ranks, requested, pool))
    return MemoryForecast(
        total_bytes=memory_bytes,
        requested_bytes=requested,
        ranks=ranks,
        kv_cache_tokens=pool.tokens,
        max_concurrency=pool.concurrency_millis // 1000 * layout.data,
        context_length=context,
        fits=not reasons,
        reasons=tuple(dict.fromkeys(reasons)),
        assumptions=assumptions(profile, facts, engine, engine_version, gpu),
    )


def sane(layout: Layout) -> Layout:
    """The layout with every size at least 1."""
    return Layout(max(1, layout.tensor), max(1, layout.pipeline), max(1, layout.data), layout.expert, max(1, layout.nodes_per_replica))


def batch_limits(args: EngineArguments, facts: VersionFacts, memory_bytes: int, product: str) -> tuple[int, int]:
    """(batched tokens, sequences): as asked, else the engine's defaults for the device."""
    tokens, sequences = facts.batch_limits(memory_bytes, product)
    return args.max_num_batched_tokens or tokens, args.max_num_seqs or sequences


def rank_memory(
    profile: ModelProfile,
    layout: Layout,
    gpu: GpuProduct,
    facts: VersionFacts,
    args: EngineArguments,
    requested: int,
    total: int,
    tokens: int,
    sequences: int,
    context: int,
    drafts: bool,
    engine: EngineName,
) -> tuple[RankMemory, ...]:
    """Every rank's memory, in order pipeline x tensor."""
    weights = stage_weights(profile, layout, drafts, facts.expert_padding(gpu.compute_capability, gpu.vendor))
    peaks = stage_activations(profile, layout, facts, tokens, sequences, context)
    switched = gpu.link in (LinkKind.NVSWITCH, LinkKind.XGMI)
    other = facts.non_torch_bytes(layout.tensor, layout.pipeline, switched)
    if gpu.vendor is not Vendor.NVIDIA:
        other += total * facts.unmeasured_reserve_ppm // MILLION
    graphs = 0 if args.enforce_eager else graph_bytes(profile, layout, facts, sequences)
    ranks = []
    for weight, peak in zip(weights, peaks, strict=True):
        kept = max(0, weight - args.cpu_offload_bytes)
        used = kept + peak + other + (graphs if facts.graphs_in_budget else 0)
        left = requested - used
        if engine is EngineName.TRTLLM:  # a fraction of what is free after the peak, not of the total
            left = (total - used) * (args.gpu_memory_utilization_ppm or facts.utilization_ppm) // MILLION
        if args.kv_cache_memory_bytes is not None:
            left = args.kv_cache_memory_bytes
        ranks += [RankMemory(kept, peak, other, graphs, left)] * layout.tensor
    return tuple(ranks)


def memory_problems(ranks: tuple[RankMemory, ...], requested: int, pool: Pool) -> tuple[Reason, ...]:
    """Why the memory does not suffice; empty when it does."""
    if any(rank.weights_bytes > requested for rank in ranks):
        return (Reason.WEIGHTS_DO_NOT_FIT,)
    if any(rank.kv_cache_bytes <= 0 for rank in ranks):
        return (Reason.WEIGHTS_DO_NOT_FIT,)
    if pool.blocks < 2:
        return (Reason.KV_CACHE_TOO_SMALL,)
    return () if pool.fits_one else (Reason.CONTEXT_TOO_LONG,)


def largest_context(
    profile: ModelProfile,
    layout: Layout,
    args: EngineArguments,
    facts: VersionFacts,
    stages: list[int],
    longest: int,
    in_flight: int,
    drafts: bool,
) -> int:
    """The longest context of which one request fits, by bisection; at least 1."""
    low, high = 1, longest
    while low < high:
        middle = (low + high + 1) // 2
        shape = pool_shape(profile, layout, args, facts, middle, in_flight, drafts)
        if fill(shape, facts, args, stages, middle).fits_one:
            low = middle
        else:
            high = middle - 1
    return low


def assumptions(
    profile: ModelProfile, facts: VersionFacts, engine: EngineName, version: str | None, gpu: GpuProduct
) -> tuple[str, ...]:
    """What the forecast took for granted."""
    stated = list(profile.assumptions)
    if not facts.known:
        stated.append(f"engine version {version or 'not stated'}: the facts of the default version are used")
    if gpu.vendor is not Vendor.NVIDIA and facts.unmeasured_reserve_ppm:
        share = facts.unmeasured_reserve_ppm / 10_000
        stated.append(f"{gpu.vendor} GPUs: few start-up logs check this forecast, so {share:g} % of the memory is held back")
    if engine is EngineName.TRTLLM:
        stated.append("trtllm memory is unmeasured: no start-up log was found to check its rule against")
    return tuple(stated)
