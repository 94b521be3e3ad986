"""Which cuts the numbers of a model allow: heads, vocabulary, matrices, blocks, layers, experts. One function per rule.

`checks` refuses with these rules and `memory` reports them, so that both always agree. Each answers with need and
have. Knows no GPU product, no option and no amount of memory; of the engine only the facts of its version.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import gcd

from shardwright.api.reasons import Reason
from shardwright.models.profile import CacheKind, Matrix, ModelProfile, Part, Split
from shardwright.plan import limits
from shardwright.plan.memory_versions import VersionFacts
from shardwright.plan.memory_weights import VOCABULARY_PADDING, up
from shardwright.plan.types import Layout, in_one_pod

_BY_HEADS = (CacheKind.FULL, CacheKind.SLIDING, CacheKind.CHUNKED)
"""Caches whose heads are dealt out; a latent cache is the same on every rank."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that a cut breaks; `need` exceeds `have`."""

    reason: Reason
    need: int
    have: int
    unit: str


Rule = Callable[[ModelProfile, Layout, VersionFacts], Broken | None]


def broken(model: ModelProfile, layout: Layout, facts: VersionFacts) -> tuple[Broken, ...]:
    """Every rule that the cut breaks; how many pods it is spread over changes nothing."""
    return _broken(model, in_one_pod(layout), facts)


def heads_divide(model: ModelProfile, layout: Layout, _facts: VersionFacts) -> Broken | None:
    """Each rank gets equally many query heads."""
    return uneven(Reason.HEADS_NOT_DIVISIBLE, model.num_attention_heads, layout.tensor, "heads")


def kv_heads_divide_or_repeat(model: ModelProfile, layout: Layout, _facts: VersionFacts) -> Broken | None:
    """KV heads of every kind of layer are dealt out evenly, or each is copied to equally many ranks."""
    for heads in _kv_heads(model):
        if heads % layout.tensor and layout.tensor % heads:
            return Broken(Reason.KV_HEADS_NOT_DIVISIBLE, up(heads, layout.tensor), heads, "KV heads")
    return None


def state_heads_divide(model: ModelProfile, layout: Layout, _facts: VersionFacts) -> Broken | None:
    """Heads of Mamba and linear attention are dealt out evenly; their groups may be copied and are not among them."""
    found = (uneven(Reason.HEADS_NOT_DIVISIBLE, heads, layout.tensor, "state heads") for heads in model.state_heads)
    return next((one for one in found if one), None)


def vocabulary_divides(model: ModelProfile, layout: Layout, _facts: VersionFacts) -> Broken | None:
    """The padded vocabulary is dealt out evenly. Source: vLLM layers/vocab_parallel_embedding.py."""
    padded = up(model.vocab_size, VOCABULARY_PADDING)
    return uneven(Reason.VOCABULARY_NOT_DIVISIBLE, padded, layout.tensor, "tokens of vocabulary")


def linears_divide(model: ModelProfile, layout: Layout, _facts: VersionFacts) -> Broken | None:
    """Every divided matrix gives each rank an equal share; experts that are not spread are cut by tensor x data."""
    found = (  # groups repeat where they do not divide
        uneven(Reason.LINEAR_NOT_DIVISIBLE, _cut_dimension(matrix), _ways(matrix, layout), "columns")
        for matrix in _cut_matrices(model)
        if matrix.split is not Split.GROUPS
    )
    return _smallest(found)


def quantization_blocks_divide(model: ModelProfile, layout: Layout, facts: VersionFacts) -> Broken | None:
    """Each rank's share of a quantised matrix is whole blocks (FP8), or whole tiles and groups (INT4). MXFP4 pads."""
    return _smallest(_broken_blocks(model, layout, facts))


def _broken_blocks(model: ModelProfile, layout: Layout, facts: VersionFacts) -> Iterator[Broken | None]:
    reason = Reason.QUANTIZATION_BLOCK_NOT_DIVISIBLE
    for matrix in _cut_matrices(model):
        ways, block = _ways(matrix, layout), _block(matrix, facts)
        share, rest = divmod(_cut_dimension(matrix), ways)
        if ways > 1 and block and not rest:
            yield uneven(reason, share, block, f"columns a rank, in blocks of {block}")


def layers_suffice(model: ModelProfile, layout: Layout, _facts: VersionFacts) -> Broken | None:
    """Every pipeline stage has a layer."""
    if layout.pipeline <= max(1, model.num_layers):
        return None
    return Broken(Reason.TOO_FEW_LAYERS, layout.pipeline, model.num_layers, "layers")


def experts_suffice(model: ModelProfile, layout: Layout, _facts: VersionFacts) -> Broken | None:
    """Experts exist where they are spread; each rank holds one."""
    if not model.is_mixture_of_experts:
        return Broken(Reason.NOT_A_MIXTURE_OF_EXPERTS, 1, 0, "experts") if layout.expert else None
    ranks = layout.tensor * layout.data
    if layout.expert and ranks > model.num_experts:
        return Broken(Reason.TOO_FEW_EXPERTS, ranks, model.num_experts, "experts")
    return None


RULES: tuple[Rule, ...] = (
    heads_divide, kv_heads_divide_or_repeat, state_heads_divide, vocabulary_divides, linears_divide,
    quantization_blocks_divide, layers_suffice, experts_suffice,
)  # fmt: skip


def uneven(reason: Reason, number: int, ways: int, unit: str) -> Broken | None:
    """The refusal where `number` does not divide evenly; it needs the next number that does."""
    return None if number % ways == 0 else Broken(reason, up(number, ways), number, unit)


def _smallest(found: Iterable[Broken | None]) -> Broken | None:
    """The refusal of the smallest number: one of several equals says enough."""
    return min((one for one in found if one), key=lambda one: (one.have, one.need), default=None)


@lru_cache(maxsize=16384)
def _broken(model: ModelProfile, layout: Layout, facts: VersionFacts) -> tuple[Broken, ...]:
    return tuple(found for rule in RULES if (found := rule(model, layout, facts)))


@lru_cache(maxsize=64)
def _kv_heads(model: ModelProfile) -> tuple[int, ...]:
    layers = {id(layer): layer for layer in model.layers}.values()
    heads = {cache.kv_heads for layer in layers for cache in layer.caches if cache.kind in _BY_HEADS}
    return tuple(sorted(number for number in heads if number > 0))


@lru_cache(maxsize=64)
def _cut_matrices(model: ModelProfile) -> tuple[Matrix, ...]:
    """Matrices that parallelism divides, each shape once; vectors follow their matrix."""
    return tuple(
        {
            (m.rows, m.columns, m.split, m.format, m.shard_outputs, m.groups): m
            for layer in {id(layer): layer for layer in model.layers}.values()
            for m in layer.matrices
            if m.columns > 1
            and not (m.format and m.format.name in limits.PADDED_FORMATS)
            and m.part is not Part.ABSORBED
            and m.split in (Split.TENSOR, Split.EXPERTS, Split.GROUPS)
        }.values()
    )


def _cut_dimension(matrix: Matrix) -> int:
    return matrix.rows if matrix.shard_outputs else matrix.columns


def _ways(matrix: Matrix, layout: Layout) -> int:
    """Into how many parts one matrix is cut."""
    if matrix.split is Split.EXPERTS:
        return 1 if layout.expert else layout.tensor * layout.data
    return min(layout.tensor, matrix.groups or layout.tensor) if matrix.split is Split.GROUPS else layout.tensor


def _block(matrix: Matrix, facts: VersionFacts) -> int:
    """Of what a rank's share must be a multiple; 0 = of anything."""
    stored = matrix.format
    if stored is None:
        return 0
    if stored.block_rows:
        block = stored.block_rows if matrix.shard_outputs else stored.block_columns
        both = gcd(stored.block_rows, stored.block_columns)
        refines = facts.refines_blocks and matrix.split is Split.EXPERTS and both % limits.FINEST_BLOCK == 0
        return min(block, limits.FINEST_BLOCK) if refines else block
    if stored.name == "int4":
        return limits.MARLIN_OUTPUTS if matrix.shard_outputs else max(limits.MARLIN_INPUTS, stored.group_size)
    return stored.group_size if stored.name.startswith("int") and not matrix.shard_outputs else 0
