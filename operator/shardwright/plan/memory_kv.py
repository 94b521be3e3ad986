"""How many tokens a KV memory holds: pages of each layer, groups that share one pool of blocks, blocks of one request.

The mechanism follows vLLM 0.32.0, v1/core/kv_cache_utils.py and v1/kv_cache_interface.py (the grouping of layers, the padding of
pages, the blocks a request needs), with the earlier way of reporting tokens for earlier releases. Knows no GPU.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from shardwright.models.profile import Cache, CacheKind, ModelProfile, StatePiece
from shardwright.plan.memory_arguments import EngineArguments
from shardwright.plan.memory_versions import VersionFacts
from shardwright.plan.memory_weights import pipeline_stages, share, up
from shardwright.plan.types import Layout

FULL_KINDS = frozenset({CacheKind.FULL, CacheKind.LATENT, CacheKind.INDEX})
REPLICATED = frozenset({CacheKind.LATENT, CacheKind.LATENT_SLIDING, CacheKind.INDEX})
KV_BYTES = {"fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1, "fp8_inc": 1, "int8": 1, "fp8_ds_mla": 1, "float32": 4, "fp32": 4}
SPARSE_LATENT_BYTES = 656
"""One token of a sparse MLA cache in `fp8_ds_mla`: 512 fp8 + 16 scales + 128 of rope in bfloat16."""
INDEX_SCALE_BYTES = 4


@dataclass(frozen=True, slots=True)
class Page:
    """The cache of one layer: `tokens` in a block and the bytes of that block. Layers with equal pages share a group."""

    kind: CacheKind
    tokens: int
    page_bytes: int
    window: int = 0
    packs: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Layers that share a block table."""

    page: Page
    layers: tuple[int, ...]
    """Indexes into the list of pages."""
    page_bytes: tuple[int, ...]
    """Of each layer."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The blocks of one engine instance."""

    tokens: int
    """As the engine reports them."""
    blocks: int
    blocks_per_request: int
    """For one request of the context length."""
    bytes_per_block: int
    groups: int
    concurrency_millis: int
    """Requests of the context length that fit at once, in thousandths."""

    @property
    def fits_one(self) -> bool:
        """Whether one request of the context length fits (one block is held back)."""
        return self.blocks_per_request == 0 or self.blocks > self.blocks_per_request


def cache_dtype(profile: ModelProfile, arguments: EngineArguments, facts: VersionFacts) -> str:
    """The KV dtype in effect, in one spelling."""
    asked = arguments.kv_cache_dtype
    if asked is None and facts.kv_scheme_followed:
        asked = profile.kv_cache_dtype
    return asked or profile.dtype


def element_bits(dtype: str) -> int:
    """Bits of one cached element."""
    if "nvfp4" in dtype:
        return 4
    return 8 * next((b for word, b in KV_BYTES.items() if dtype.startswith(word)), 2)


@lru_cache(maxsize=512)
def is_sparse(profile: ModelProfile) -> bool:
    """Whether some layer has an indexer."""
    return any(c.kind is CacheKind.INDEX for layer in profile.layers for c in layer.caches)


def token_bytes(cache: Cache, profile: ModelProfile, layout: Layout, dtype: str) -> int:
    """Bytes that one stored vector of a layer takes on one rank."""
    bits = element_bits(dtype)
    if cache.packed_bytes:
        return cache.packed_bytes
    if cache.kind is CacheKind.INDEX:
        return cache.key_dim + INDEX_SCALE_BYTES if profile.is_latent_attention else cache.key_dim * 2
    if cache.kind in REPLICATED:
        if bits == 8 and is_sparse(profile):
            return SPARSE_LATENT_BYTES
        return cache.key_dim * bits // 8 if bits != 4 else 352
    heads = max(1, cache.kv_heads // layout.tensor)
    scales = 8 if "per_token_head" in dtype else 0
    elements = cache.key_dim + cache.value_dim
    return heads * (elements * bits // 8 + scales + (elements // 16 if bits == 4 else 0))


def piece_bytes(piece: StatePiece, profile: ModelProfile, tensor: int, extra_rows: int, arguments: EngineArguments) -> int:
    """Bytes of one tensor of a recurrent state on one rank."""
    elements, width = piece.elements, piece.element_bytes or profile.dtype_bytes
    if piece.by_model_dtype and arguments.mamba_ssm_cache_dtype:
        width = 4 if "32" in arguments.mamba_ssm_cache_dtype else 2
    if piece.groups and piece.groups % max(1, tensor):
        elements += piece.groups_elements // piece.groups * max(0, tensor - piece.groups)
    return share(elements, tensor if piece.divisible else 1) * width + extra_rows


def state_bytes(cache: Cache, profile: ModelProfile, layout: Layout, arguments: EngineArguments) -> int:
    """Bytes of one request's state in one layer on one rank."""
    return sum(piece_bytes(piece, profile, layout.tensor, 0, arguments) for piece in cache.state)


def default_block(profile: ModelProfile, arguments: EngineArguments) -> int:
    """Tokens of a block where the user does not say."""
    if arguments.block_size:
        return arguments.block_size
    return 64 if profile.is_latent_attention else 16


@lru_cache(maxsize=1024)
def layer_pages(
    profile: ModelProfile, layout: Layout, arguments: EngineArguments, facts: VersionFacts, drafts: bool
) -> tuple[tuple[int, Page], ...]:
    """(layer index, page) of every cache, in the order in which the engine meets them."""
    dtype, block = cache_dtype(profile, arguments, facts), default_block(profile, arguments)
    layers = profile.layers + (profile.draft_layers[:1] if drafts else ())
    caches = [(i, c) for i, layer in enumerate(layers) for c in layer.caches]
    distinct = list({id(c): c for _, c in caches}.values())
    states = [c for c in distinct if c.kind is CacheKind.STATE]
    tokens = [c for c in distinct if c.kind is not CacheKind.STATE]
    padded = 0
    if states and tokens:
        block, padded = aligned_block(profile, layout, arguments, states, tokens, dtype, block)
    pages: list[tuple[int, Page]] = []
    known: dict[int, Page] = {}
    for index, cache in caches:
        if id(cache) in known:
            pages.append((index, known[id(cache)]))
            continue
        if cache.kind is CacheKind.STATE:
            size = state_bytes(cache, profile, layout, arguments)
            pages.append((index, Page(cache.kind, block, max(size, padded))))
        else:
            span = cache.block_tokens or block
            size = token_bytes(cache, profile, layout, dtype) * span // max(1, cache.tokens_per_state)
            pages.append((index, Page(cache.kind, span, up(size, cache.page_alignment), cache.window, cache.packs)))
        known[id(cache)] = pages[-1][1]
    return tuple(pages)


def aligned_block(
    profile: ModelProfile, layout: Layout, arguments: EngineArguments, states: list[Cache], tokens: list[Cache], dtype: str, block: int
) -> tuple[int, int]:
    """(tokens of a block, padded state bytes): attention pages must be as large as a state, in whole kernel blocks."""
    per_token = max(1, max(token_bytes(c, profile, layout, dtype) for c in tokens))
    state = max(state_bytes(c, profile, layout, arguments) for c in states)
    step = max(16, block, 128 if profile.is_latent_attention else 0)
    needed = step * share(state, step * per_token)
    block = max(block, needed)
    return block, block * per_token


def make_groups(pages: Sequence[Page]) -> tuple[Group, ...]:
    """Layers in groups that share one page size, each of about as many layers as the rarest kind has."""
    if not pages:
        return ()
    buckets: dict[tuple[CacheKind, int, int], list[int]] = {}
    for index, page in enumerate(pages):
        kind = CacheKind.FULL if page.kind in FULL_KINDS else page.kind
        buckets.setdefault((kind, page.window, page.tokens), []).append(index)
    if len(buckets) == 1:
        return (Group(pages[0], tuple(range(len(pages))), tuple(p.page_bytes for p in pages)),)
    if all(page.packs for page in pages):
        return packed_groups(pages, list(buckets.values()))
    pages = unified(pages)
    counts = [len(rows) for rows in buckets.values()]
    size = max(counts) if max(counts) * 2 < min(counts) * 3 else min(counts)
    groups = []
    for rows in buckets.values():
        number = share(len(rows), size)
        for start in range(number):
            members = tuple(rows[start::number])
            groups.append(Group(pages[members[0]], members, tuple(pages[m].page_bytes for m in members)))
    return tuple(groups)


def packed_groups(pages: Sequence[Page], buckets: list[list[int]]) -> tuple[Group, ...]:
    """Groups whose pages of unlike sizes lie side by side: buckets of a repeating pattern are cut into about equal repeats."""
    counted = [Counter(pages[m].page_bytes for m in rows) for rows in buckets]
    balanced = [len(set(sizes.values())) == 1 for sizes in counted]
    floor = max((max(s.values()) for s, b in zip(counted, balanced, strict=True) if b and len(s) > 1), default=0)
    repeats = [max(s.values()) for s, b in zip(counted, balanced, strict=True) if b]
    per_group = least_padding(repeats, floor) if floor and repeats else 0
    groups = []
    for rows, sizes, even in zip(buckets, counted, balanced, strict=True):
        number = share(max(sizes.values()), per_group) if even and per_group else 1
        by_size = {size: [m for m in rows if pages[m].page_bytes == size] for size in sizes}
        for start in range(number):
            members = tuple(m for same in by_size.values() for m in same[start::number])
            groups.append(Group(pages[members[0]], members, tuple(pages[m].page_bytes for m in members)))
    return tuple(groups)


def least_padding(values: list[int], floor: int) -> int:
    """The group size from `floor` on that wastes the fewest places; the larger of equals."""
    return min(range(max(1, floor), max(values) + 1), key=lambda d: (sum(-v % d for v in values), -d), default=max(1, floor))


def unified(pages: Sequence[Page]) -> list[Page]:
    """All pages at the largest size: smaller ones hold more tokens where they divide it, else are padded."""
    largest = max(p.page_bytes for p in pages)
    result = []
    for page in pages:
        if page.page_bytes and page.kind is not CacheKind.STATE and largest % page.page_bytes == 0:
            result.append(replace(page, tokens=page.tokens * (largest // page.page_bytes), page_bytes=largest))
        else:
            result.append(replace(page, page_bytes=largest))
    return result


def request_blocks(group: Group, context: int, in_flight: int, arguments: EngineArguments) -> int:
    """Blocks of one group that a request of `context` tokens holds."""
    page, parallel = group.page, arguments.decode_context_parallel_size
    if page.kind in FULL_KINDS:
        return share(share(context, parallel), page.tokens)
    if page.kind in (CacheKind.SLIDING, CacheKind.LATENT_SLIDING):
        return share(min(page.window - 1 + in_flight, context), page.tokens) + 1
    if page.kind is CacheKind.CHUNKED:
        return share(min(page.window + in_flight, context), page.tokens)
    if page.kind is CacheKind.CROSS:
        return share(min(context, CROSS_TOKENS), page.tokens)
    return (2 if arguments.enable_prefix_caching else 1) + arguments.num_speculative_tokens


CROSS_TOKENS = 6404
"""Encoder tokens of one image of Llama 3.2 Vision: four tiles of 1601."""


def promoted(pages: Sequence[Page]) -> list[Page]:
    """Without the hybrid manager every windowed layer counts as full attention."""
    windowed = (CacheKind.SLIDING, CacheKind.CHUNKED, CacheKind.LATENT_SLIDING)
    return [replace(p, kind=CacheKind.FULL, window=0) if p.kind in windowed else p for p in pages]


@dataclass(frozen=True, slots=True)
class PoolShape:
    """What of a pool does not depend on the amount of memory."""

    groups: int
    group_tokens: int
    """Tokens of a block in the group with the smallest ones."""
    stage_block_bytes: tuple[int, ...]
    """Of one block, by pipeline stage; 0 where a stage caches nothing."""
    blocks_per_request: int


@lru_cache(maxsize=8192)
def pool_shape(
    profile: ModelProfile, layout: Layout, arguments: EngineArguments, facts: VersionFacts, context: int, in_flight: int, drafts: bool
) -> PoolShape:
    """The groups and blocks of a model in a layout, for requests of `context` tokens with `in_flight` tokens of batches under way."""
    placed, groups = placed_groups(profile, layout, arguments, facts, drafts)
    stages = []
    for low, high in stage_bounds(profile, layout):
        held = (sum(b for m, b in zip(g.layers, g.page_bytes, strict=True) if low <= placed[m] < high) for g in groups)
        stages.append(max(held, default=0))
    wanted = sum(request_blocks(g, context, in_flight, arguments) for g in groups)
    return PoolShape(len(groups), min((g.page.tokens for g in groups), default=0), tuple(stages), wanted)


@lru_cache(maxsize=2048)
def placed_groups(
    profile: ModelProfile, layout: Layout, arguments: EngineArguments, facts: VersionFacts, drafts: bool
) -> tuple[tuple[int, ...], tuple[Group, ...]]:
    """(layer of each page, groups of pages)."""
    placed = layer_pages(profile, layout, arguments, facts, drafts)
    pages = [page for _, page in placed]
    chunked = any(page.kind is CacheKind.CHUNKED for page in pages)
    if not facts.hybrid or arguments.disable_hybrid_kv_cache_manager or (chunked and not facts.chunks_in_groups):
        pages = promoted(pages)
    return tuple(layer for layer, _ in placed), make_groups(pages)


def fill(shape: PoolShape, facts: VersionFacts, arguments: EngineArguments, memory_by_stage: Sequence[int], context: int) -> Pool:
    """The blocks that the KV memory of each pipeline stage makes, the fullest stage deciding for all."""
    if not shape.groups:
        return Pool(0, 1, 0, 0, 0, 0)
    pairs = zip(memory_by_stage, shape.stage_block_bytes, strict=True)
    blocks, block_bytes = min(((max(0, memory) // size, size) for memory, size in pairs if size), default=(0, 1))
    blocks = arguments.num_gpu_blocks_override or blocks
    wanted = shape.blocks_per_request
    if facts.kv_tokens == "blocks":
        tokens = blocks // shape.groups * shape.group_tokens * arguments.decode_context_parallel_size
    else:
        tokens = blocks * context // wanted if wanted else 0
    return Pool(tokens, blocks, wanted, block_bytes, shape.groups, blocks * 1000 // wanted if wanted else 0)


def stage_bounds(profile: ModelProfile, layout: Layout) -> list[tuple[int, int]]:
    """[first, past-last) layer of each pipeline stage; draft layers belong to the last."""
    bounds, start = [], 0
    counts = pipeline_stages(len(profile.layers), layout.pipeline)
    for number, count in enumerate(counts):
        past = start + count if number < len(counts) - 1 else len(profile.layers) + len(profile.draft_layers)
        bounds.append((start, past))
        start += count
    return bounds
