"""What the engine refuses because a number does not divide: heads, vocabulary, blocks, layers, experts, state slots.

One function per rule over (profile, layout); the rules and where vLLM has them stand in docs/memory.md. Knows no GPU.
"""

from collections.abc import Iterator
from functools import lru_cache
from math import gcd

from shardwright.api.reasons import Reason
from shardwright.models.profile import CacheKind, Matrix, ModelProfile, Part, Split
from shardwright.plan.memory_kv import Pool
from shardwright.plan.memory_pages import CacheCase
from shardwright.plan.memory_versions import VersionFacts
from shardwright.plan.memory_weights import up
from shardwright.plan.types import Layout

FINEST_BLOCK = 32


def shape_problems(case: CacheCase, pool: Pool, sequences: int) -> tuple[Reason, ...]:
    """Every rule that this layout breaks."""
    found = layout_problems(case.profile, case.layout, case.facts)
    graphs = not case.arguments.enforce_eager  # only captured graphs need a state block for every sequence
    if case.profile.has_state and graphs and 0 < pool.blocks < sequences:
        return (*found, Reason.STATE_SLOTS_TOO_FEW)
    return found


@lru_cache(maxsize=16384)
def layout_problems(profile: ModelProfile, layout: Layout, facts: VersionFacts) -> tuple[Reason, ...]:
    """The rules that need no memory figure."""
    return tuple(broken_rules(profile, layout, facts))


def broken_rules(profile: ModelProfile, layout: Layout, facts: VersionFacts) -> Iterator[Reason]:
    """The same, one by one."""
    tensor = layout.tensor
    if profile.num_attention_heads % tensor:
        yield Reason.HEADS_NOT_DIVISIBLE
    if kv_mismatch(profile, tensor):
        yield Reason.KV_HEADS_NOT_DIVISIBLE
    if up(profile.vocab_size, 64) % tensor:
        yield Reason.VOCABULARY_NOT_DIVISIBLE
    if any(heads % tensor for heads in profile.state_heads) or any(uneven(m, layout) for m in distinct(profile)):
        yield Reason.LINEAR_NOT_DIVISIBLE
    if any(block_mismatch(m, layout, facts) for m in distinct(profile)):
        yield Reason.QUANTIZATION_BLOCK_NOT_DIVISIBLE
    if layout.pipeline > profile.num_layers:
        yield Reason.TOO_FEW_LAYERS
    if layout.expert and not profile.is_mixture_of_experts:
        yield Reason.NOT_A_MIXTURE_OF_EXPERTS
    if layout.expert and profile.is_mixture_of_experts and profile.num_experts < tensor * layout.data:
        yield Reason.TOO_FEW_EXPERTS


def kv_mismatch(profile: ModelProfile, tensor: int) -> bool:
    """KV heads must divide TP or be divided by it, in every kind of layer."""
    heads = {
        c.kv_heads
        for layer in profile.layers
        for c in layer.caches
        if c.kind in (CacheKind.FULL, CacheKind.SLIDING, CacheKind.CHUNKED)
    }
    return any((h % tensor if h >= tensor else tensor % h) for h in heads if h > 0)


@lru_cache(maxsize=512)
def distinct(profile: ModelProfile) -> tuple[Matrix, ...]:
    """Each kind of matrix once."""
    seen: dict[int, tuple[Matrix, ...]] = {id(layer): layer.matrices for layer in profile.layers}
    return tuple(dict.fromkeys(m for matrices in seen.values() for m in matrices))


def shard_parts(matrix: Matrix, layout: Layout) -> int:
    """Into how many parts one matrix is cut."""
    if matrix.split is Split.TENSOR:
        return layout.tensor
    if matrix.split is Split.EXPERTS and not layout.expert:
        return layout.tensor * layout.data
    return 1


def uneven(matrix: Matrix, layout: Layout) -> bool:
    """Whether the divided side of a matrix leaves a remainder."""
    if matrix.part in (Part.VISION, Part.ROUTER) or matrix.columns < 2:
        return False
    side = matrix.rows if matrix.shard_outputs else matrix.columns
    return bool(side % shard_parts(matrix, layout)) and not pads(matrix)


def pads(matrix: Matrix) -> bool:
    """MXFP4 experts are padded to whatever the kernel needs."""
    return matrix.format is not None and matrix.format.name == "mxfp4"


def block_mismatch(matrix: Matrix, layout: Layout, facts: VersionFacts) -> bool:
    """Block-wise FP8: each shard's divided side must be whole blocks.

    Newer releases refine the scales of experts to 32.
    """
    stored, parts = matrix.format, shard_parts(matrix, layout)
    if stored is None or pads(matrix):
        return False
    if stored.name.startswith("int") and stored.group_size and not matrix.shard_outputs:
        return matrix.columns % parts == 0 and matrix.columns // parts % stored.group_size != 0
    if not stored.block_rows:
        return False
    side, block = (matrix.rows, stored.block_rows) if matrix.shard_outputs else (matrix.columns, stored.block_columns)
    if parts < 2 or side % parts or side // parts % block == 0:
        return False
    refined = gcd(stored.block_rows, stored.block_columns, side // parts)
    return not (facts.refines_blocks and matrix.split is Split.EXPERTS and refined >= FINEST_BLOCK)
