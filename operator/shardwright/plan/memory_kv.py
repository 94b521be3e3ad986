"""How many tokens a KV memory holds, and how many requests: blocks of one request against blocks of the pool.

Follows vLLM 0.32.0, v1/core/kv_cache_utils.py, with the earlier way of reporting tokens for earlier releases
(`kv_tokens` in catalog/engines/vllm.yaml). Knows no GPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from shardwright.models.profile import CacheKind, ModelProfile
from shardwright.plan.memory_arguments import EngineArguments
from shardwright.plan.memory_groups import Group, make_groups, promoted
from shardwright.plan.memory_pages import FULL_KINDS, CacheCase, layer_pages
from shardwright.plan.memory_weights import pipeline_stages, share
from shardwright.plan.types import Layout

CROSS_TOKENS = 6404
"""Encoder tokens of one image of Llama 3.2 Vision: four tiles of 1601."""


@dataclass(frozen=True, slots=True)
class PoolShape:
    """What of a pool does not depend on the amount of memory."""

    groups: int
    group_tokens: int
    """Tokens of a block in the group with the smallest ones."""
    stage_block_bytes: tuple[int, ...]
    """Of one block, by pipeline stage; 0 where a stage caches nothing."""
    blocks_per_request: int


@dataclass(frozen=True, slots=True)
class Pool:
    """The blocks of one engine instance."""

    tokens: int
    """As the engine reports them."""
    blocks: int
    blocks_per_request: int
    """For one request of the context length."""
    concurrency_millis: int
    """Requests of the context length that fit at once, in thousandths."""

    @property
    def fits_one(self) -> bool:
        """Whether one request of the context length fits (one block is held back)."""
        return self.blocks_per_request == 0 or self.blocks > self.blocks_per_request


def request_blocks(group: Group, context: int, in_flight: int, arguments: EngineArguments) -> int:
    """Blocks of one group that a request of `context` tokens holds, with `in_flight` tokens of batches under way."""
    page = group.page
    if page.kind in FULL_KINDS:
        return share(share(context, arguments.decode_context_parallel_size), page.tokens)
    if page.kind is CacheKind.STATE:
        return (2 if arguments.enable_prefix_caching else 1) + arguments.num_speculative_tokens
    if page.kind is CacheKind.CHUNKED:
        return share(min(page.window + in_flight, context), page.tokens)
    if page.kind is CacheKind.CROSS:
        return share(CROSS_TOKENS, page.tokens)
    return share(min(page.window - 1 + in_flight, context), page.tokens) + 1  # a window may begin inside a block


@lru_cache(maxsize=8192)
def pool_shape(case: CacheCase, context: int, in_flight: int) -> PoolShape:
    """The groups and blocks of a model in a layout, for requests of `context` tokens."""
    layers, groups = placed_groups(case)
    stages = []
    for low, high in stage_bounds(case.profile, case.layout):
        held = (sum(b for m, b in zip(g.layers, g.page_bytes, strict=True) if low <= layers[m] < high) for g in groups)
        stages.append(max(held, default=0))
    wanted = sum(request_blocks(g, context, in_flight, case.arguments) for g in groups)
    return PoolShape(len(groups), min((g.page.tokens for g in groups), default=0), tuple(stages), wanted)


@lru_cache(maxsize=2048)
def placed_groups(case: CacheCase) -> tuple[tuple[int, ...], tuple[Group, ...]]:
    """(layer of each page, groups of pages)."""
    placed = layer_pages(case)
    pages = [page for _, page in placed]
    chunked = any(page.kind is CacheKind.CHUNKED for page in pages) and not case.facts.chunks_in_groups
    if not case.facts.hybrid or case.arguments.disable_hybrid_kv_cache_manager or chunked:
        pages = promoted(pages)
    return tuple(layer for layer, _ in placed), make_groups(pages)


def fill(case: CacheCase, shape: PoolShape, memory_by_stage: Sequence[int], context: int) -> Pool:
    """The blocks that the KV memory of each pipeline stage makes, the fullest stage deciding for all."""
    if not shape.groups:
        return Pool(0, 1, 0, 0)
    pairs = zip(memory_by_stage, shape.stage_block_bytes, strict=True)
    blocks = min((max(0, memory) // size for memory, size in pairs if size), default=0)
    blocks = case.arguments.num_gpu_blocks_override or blocks
    wanted = shape.blocks_per_request
    if case.facts.kv_tokens == "blocks":
        tokens = blocks // shape.groups * shape.group_tokens * case.arguments.decode_context_parallel_size
    else:
        tokens = blocks * context // wanted if wanted else 0
    return Pool(tokens, blocks, wanted, blocks * 1000 // wanted if wanted else 0)


def largest_context(case: CacheCase, memory_by_stage: Sequence[int], longest: int, in_flight: int) -> int:
    """The longest context of which one request fits, by bisection; at least 1."""
    low, high = 1, longest
    while low < high:
        middle = (low + high + 1) // 2
        fits = fill(case, pool_shape(case, middle, in_flight), memory_by_stage, middle).fits_one
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def stage_bounds(profile: ModelProfile, layout: Layout) -> list[tuple[int, int]]:
    """[first, past-last) layer of each pipeline stage; draft layers belong to the last."""
    bounds, start = [], 0
    counts = pipeline_stages(len(profile.layers), layout.pipeline)
    for number, count in enumerate(counts):
        past = start + count if number < len(counts) - 1 else len(profile.layers) + len(profile.draft_layers)
        bounds.append((start, past))
        start += count
    return bounds
