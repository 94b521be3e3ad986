"""What one layer's cache takes: bytes of a token, of a block, of a recurrent state, on one rank.

Follows vLLM 0.32.0, v1/kv_cache_interface.py, and for models with states platforms/interface.py, where attention
blocks grow until a page is as large as a state. Knows no amount of memory.
"""

from dataclasses import dataclass
from functools import lru_cache

from shardwright.models.profile import Cache, CacheKind, ModelProfile, StatePiece
from shardwright.plan.memory_arguments import EngineArguments
from shardwright.plan.memory_versions import VersionFacts
from shardwright.plan.memory_weights import share, up
from shardwright.plan.types import Layout

FULL_KINDS = frozenset({CacheKind.FULL, CacheKind.LATENT, CacheKind.INDEX})
REPLICATED = frozenset({CacheKind.LATENT, CacheKind.LATENT_SLIDING, CacheKind.INDEX})
KV_BITS = (("nvfp4", 4), ("int4", 4), ("fp8", 8), ("int8", 8), ("float32", 32), ("fp32", 32))
SPARSE_LATENT_BYTES = 656
"""One token of a sparse MLA cache in `fp8_ds_mla`: 512 fp8 + 16 scales + 128 of rope in bfloat16."""
NVFP4_LATENT_BYTES = 352
INDEX_SCALE_BYTES = 4
LATENT_BLOCK, BLOCK, STATE_STEP = 64, 16, 128


@dataclass(frozen=True, slots=True)
class CacheCase:
    """Everything that the shape of a cache depends on."""

    profile: ModelProfile
    layout: Layout
    arguments: EngineArguments
    facts: VersionFacts
    drafts: bool
    """Whether a draft layer caches too."""

    @property
    def dtype(self) -> str:
        """The KV dtype in effect.

        Asked, else the checkpoint's own scheme where the release follows it, else the model's.
        """
        own = self.profile.kv_cache_dtype if self.facts.kv_scheme_followed else None
        return self.arguments.kv_cache_dtype or own or self.profile.dtype

    @property
    def bits(self) -> int:
        """Bits of one cached element."""
        return next((bits for word, bits in KV_BITS if self.dtype.startswith(word)), 16)


@dataclass(frozen=True, slots=True)
class Page:
    """The cache of one layer: `tokens` in a block and the bytes of that block."""

    kind: CacheKind
    tokens: int
    page_bytes: int
    window: int = 0
    packs: bool = False


@lru_cache(maxsize=512)
def is_sparse(profile: ModelProfile) -> bool:
    """Whether some layer has an indexer."""
    return any(c.kind is CacheKind.INDEX for layer in profile.layers for c in layer.caches)


def token_bytes(cache: Cache, case: CacheCase) -> int:
    """Bytes that one stored vector of a layer takes on one rank."""
    if cache.packed_bytes:
        return cache.packed_bytes
    if cache.kind is CacheKind.INDEX:
        return cache.key_dim + INDEX_SCALE_BYTES if case.profile.is_latent_attention else 2 * cache.key_dim
    if cache.kind in REPLICATED:
        return latent_bytes(cache, case)
    heads = max(1, cache.kv_heads // case.layout.tensor)
    elements = cache.key_dim + cache.value_dim
    scales = 8 if "per_token_head" in case.dtype else elements // 16 if case.bits == 4 else 0
    return heads * (elements * case.bits // 8 + scales)


def latent_bytes(cache: Cache, case: CacheCase) -> int:
    """Bytes of one latent vector, the same on every rank."""
    if case.bits == 4:
        return NVFP4_LATENT_BYTES
    if case.bits == 8 and is_sparse(case.profile):
        return SPARSE_LATENT_BYTES
    return cache.key_dim * case.bits // 8


def piece_bytes(piece: StatePiece, case: CacheCase) -> int:
    """Bytes of one tensor of a recurrent state on one rank."""
    tensor, elements = case.layout.tensor, piece.elements
    width = piece.element_bytes or case.profile.dtype_bytes
    if piece.by_model_dtype and case.arguments.mamba_ssm_cache_dtype:
        width = 4 if "32" in case.arguments.mamba_ssm_cache_dtype else 2
    if piece.groups and piece.groups % tensor:  # groups are repeated until each rank has the ones of its heads
        elements += piece.groups_elements // piece.groups * max(0, tensor - piece.groups)
    return share(elements, tensor if piece.divisible else 1) * width


def state_bytes(cache: Cache, case: CacheCase) -> int:
    """Bytes of one request's state in one layer on one rank."""
    return sum(piece_bytes(piece, case) for piece in cache.state)


def block_tokens(case: CacheCase, caches: list[Cache]) -> tuple[int, int]:
    """(tokens of a block, bytes to which states are padded)."""
    latent = case.profile.is_latent_attention
    block = case.arguments.block_size or (LATENT_BLOCK if latent else BLOCK)
    states = [state_bytes(c, case) for c in caches if c.kind is CacheKind.STATE]
    growing = [token_bytes(c, case) for c in caches if c.kind is not CacheKind.STATE]
    if not states or not growing:
        return block, 0
    per_token = max(1, *growing)
    step = max(BLOCK, block, STATE_STEP if latent else 0)
    block = max(block, step * share(max(states), step * per_token))
    return block, block * per_token


@lru_cache(maxsize=2048)
def layer_pages(case: CacheCase) -> tuple[tuple[int, Page], ...]:
    """(layer index, page) of every cache, in the order in which the engine meets them."""
    layers = case.profile.layers + (case.profile.draft_layers[:1] if case.drafts else ())
    caches = [(i, c) for i, layer in enumerate(layers) for c in layer.caches]
    distinct = {id(c): c for _, c in caches}
    block, padded = block_tokens(case, list(distinct.values()))
    pages = {key: page_of(cache, case, block, padded) for key, cache in distinct.items()}
    return tuple((index, pages[id(cache)]) for index, cache in caches)


def page_of(cache: Cache, case: CacheCase, block: int, padded: int) -> Page:
    """The page of one cache."""
    if cache.kind is CacheKind.STATE:
        return Page(cache.kind, block, max(state_bytes(cache, case), padded))
    span = cache.block_tokens or block
    size = token_bytes(cache, case) * span // max(1, cache.tokens_per_state)
    return Page(cache.kind, span, up(size, cache.page_alignment), cache.window, cache.packs)
