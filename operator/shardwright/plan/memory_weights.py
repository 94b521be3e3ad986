"""Bytes of weights on each rank: what tensor, pipeline and expert parallelism divide, and what every rank keeps whole.

The engine fuses projections (query-key-value, gate-up) into one tensor each, and torch's caching allocator hands out
tensors of 10 MiB and more in steps of 2 MiB, keeping a rest of up to 1 MiB with the tensor: both are counted, so that
figures meet the logs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from shardwright.models.profile import LayerShape, Matrix, ModelProfile, Split
from shardwright.plan.types import Layout

MIB = 1 << 20
VOCABULARY_PADDING = 64
LARGE_TENSOR = 10 * MIB
STEP = 2 * MIB
KEPT_REST = MIB
FUSED = {
    "q_proj": "qkv",
    "k_proj": "qkv",
    "v_proj": "qkv",
    "k_proj_as_v": "qkv",
    "gate_proj": "gate_up",
    "up_proj": "gate_up",
}


@dataclass(frozen=True, slots=True)
class ExpertPadding:
    """To what the kernels of 4-bit experts pad one rank's sizes; 1 = not at all."""

    hidden: int = 1
    inner: int = 1
    scales: bool = True
    """Whether the scales are padded with the values."""


NO_PADDING = ExpertPadding()


def up(value: int, step: int) -> int:
    """`value` rounded up to a multiple of `step`."""
    return -(-value // step) * step


def share(value: int, parts: int) -> int:
    """`value` divided among parts, rounded up."""
    return -(-value // max(1, parts))


def allocated(size: int) -> int:
    """Bytes that the allocator counts for a tensor."""
    if size < LARGE_TENSOR:
        return size
    rounded = up(size, STEP)
    return rounded if rounded - size <= KEPT_REST else size


def pipeline_stages(layers: int, stages: int) -> tuple[int, ...]:
    """Layers of each stage as vLLM cuts them: equal, the remainder from the second-last stage backwards."""
    stages = max(1, stages)
    base, rest = divmod(layers, stages)
    counts = [base] * stages
    if stages > 1:
        for i in range(2, rest + 2):
            counts[-i] += 1
    else:
        counts[0] += rest
    return tuple(counts)


@dataclass(frozen=True, slots=True)
class Shard:
    """One rank's part of a matrix, bytes."""

    values: int
    scales: int
    bias: int


def shard_of(matrix: Matrix, profile: ModelProfile, layout: Layout, padding: ExpertPadding) -> Shard:
    """One rank's part of a matrix."""
    tensor = layout.tensor
    rows, columns, count = matrix.rows, matrix.columns, matrix.count
    parts = {Split.TENSOR: tensor, Split.GROUPS: min(tensor, max(1, matrix.groups)), Split.VOCABULARY: tensor}.get(
        matrix.split, 1
    )
    if matrix.split is Split.EXPERTS:
        spread = tensor * layout.data
        count, parts = (share(count, spread), 1) if layout.expert else (count, spread)
    if matrix.split is Split.VOCABULARY:
        rows = up(rows, VOCABULARY_PADDING)
    rows, columns = (share(rows, parts), columns) if matrix.shard_outputs else (rows, share(columns, parts))
    bias = count * rows * profile.dtype_bytes if matrix.bias else 0
    stored = matrix.format
    if stored is None:
        return Shard(count * rows * columns * (matrix.element_bytes or profile.dtype_bytes), 0, bias)
    values, scales = (rows, columns), (rows, columns)
    if matrix.split is Split.EXPERTS and stored.name == "mxfp4":
        inner, hidden = padding.inner, padding.hidden
        values = (
            (up(rows, inner), up(columns, hidden)) if matrix.shard_outputs else (up(rows, hidden), up(columns, inner))
        )
        scales = values if padding.scales else scales
    return Shard(count * stored.value_bytes(*values), count * stored.scale_bytes(*scales), bias)


def tensors_bytes(
    matrices: Iterable[Matrix], profile: ModelProfile, layout: Layout, padding: ExpertPadding = NO_PADDING
) -> int:
    """Bytes of matrices on one rank, fused and allocated as the engine does."""
    fused: dict[str, int] = {}
    rest = 0
    for number, matrix in enumerate(matrices):
        shard = shard_of(matrix, profile, layout, padding)
        block, _, name = matrix.name.rpartition(".")
        key = f"{block}.{FUSED[name]}" if name in FUSED else str(number)
        if matrix.split is Split.EXPERTS or matrix.count == 1:
            fused[key] = fused.get(key, 0) + shard.values
            fused[f"{key} scales"] = fused.get(f"{key} scales", 0) + shard.scales
        else:
            rest += matrix.count * allocated(shard.values // matrix.count) + shard.scales
        rest += shard.bias
    return rest + sum(map(allocated, fused.values()))


@lru_cache(maxsize=4096)
def stage_weights(
    profile: ModelProfile, layout: Layout, drafts: bool, padding: ExpertPadding = NO_PADDING
) -> tuple[int, ...]:
    """Bytes of weights on a rank of each pipeline stage, first to last."""
    sizes: dict[int, int] = {}
    for layer in profile.layers:
        if id(layer) not in sizes:
            sizes[id(layer)] = tensors_bytes(layer.matrices, profile, layout, padding)
    result, start = [], 0
    stages = pipeline_stages(len(profile.layers), layout.pipeline)
    for number, count in enumerate(stages):
        total = sum(sizes[id(layer)] for layer in profile.layers[start : start + count]) + allocated(profile.rope_bytes)
        start += count
        first, last = number == 0, number == len(stages) - 1
        total += tensors_bytes(profile.vision, profile, layout) if first else 0
        if first:
            total += tensors_bytes(profile.embedding, profile, layout)
        elif last and (profile.tied_embeddings or drafts):
            total += tensors_bytes(profile.embedding[:1], profile, layout)
        if last:
            total += tensors_bytes(profile.head, profile, layout)
            total += draft_bytes(profile.draft_layers, profile, layout, padding) if drafts else 0
        result.append(total * profile.weights_scale_permille // 1000)
    return tuple(result)


def draft_bytes(layers: tuple[LayerShape, ...], profile: ModelProfile, layout: Layout, padding: ExpertPadding) -> int:
    """Bytes of the one draft layer that multi-token prediction loads."""
    return sum(tensors_bytes(layer.matrices, profile, layout, padding) for layer in layers[:1])
