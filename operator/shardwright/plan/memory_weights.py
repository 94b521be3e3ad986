"""Bytes of weights on each rank: what tensor, pipeline and expert parallelism divide, and what every rank keeps whole."""

from functools import lru_cache

from shardwright.models.profile import LayerShape, Matrix, ModelProfile, Split
from shardwright.plan.types import Layout

VOCABULARY_PADDING = 64


def up(value: int, step: int) -> int:
    """`value` rounded up to a multiple of `step`."""
    return -(-value // step) * step


def share(value: int, parts: int) -> int:
    """`value` divided among parts, rounded up."""
    return -(-value // max(1, parts))


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


def matrix_bytes(matrix: Matrix, profile: ModelProfile, layout: Layout) -> int:
    """Bytes of one matrix on one rank."""
    tensor = layout.tensor
    rows, columns, count = matrix.rows, matrix.columns, matrix.count
    parts = {Split.TENSOR: tensor, Split.GROUPS: min(tensor, max(1, matrix.groups)), Split.VOCABULARY: tensor}.get(matrix.split, 1)
    if matrix.split is Split.EXPERTS:
        spread = tensor * layout.data
        if layout.expert:
            count, parts = share(count, spread), 1
        else:
            parts = spread
    if matrix.split is Split.VOCABULARY:
        rows = up(rows, VOCABULARY_PADDING)
    if matrix.shard_outputs:
        rows = share(rows, parts)
    else:
        columns = share(columns, parts)
    width = matrix.element_bytes or profile.dtype_bytes
    bias = (share(matrix.rows, parts) if matrix.shard_outputs else matrix.rows) * profile.dtype_bytes if matrix.bias else 0
    if matrix.format is not None:
        return count * (matrix.format.stored_bytes(rows, columns) + bias)
    return count * (rows * columns * width + bias)


def layer_bytes(layer: LayerShape, profile: ModelProfile, layout: Layout) -> int:
    """Bytes of one layer on one rank."""
    return sum(matrix_bytes(m, profile, layout) for m in layer.matrices)


def rows_bytes(rows: tuple[Matrix, ...], profile: ModelProfile, layout: Layout) -> int:
    """Bytes of loose matrices on one rank."""
    return sum(matrix_bytes(m, profile, layout) for m in rows)


@lru_cache(maxsize=4096)
def stage_weights(profile: ModelProfile, layout: Layout, drafts: bool) -> tuple[int, ...]:
    """Bytes of weights on a rank of each pipeline stage, first to last."""
    sizes: dict[LayerShape, int] = {}
    by_identity: dict[int, int] = {}
    for layer in profile.layers:
        if id(layer) not in by_identity:
            by_identity[id(layer)] = sizes.setdefault(layer, layer_bytes(layer, profile, layout))
    result, start = [], 0
    stages = pipeline_stages(len(profile.layers), layout.pipeline)
    for number, count in enumerate(stages):
        total = sum(by_identity[id(layer)] for layer in profile.layers[start : start + count])
        start += count
        first, last = number == 0, number == len(stages) - 1
        if first:
            total += rows_bytes(profile.vision, profile, layout)
        if first or (last and (profile.tied_embeddings or drafts)):
            total += rows_bytes(profile.embedding, profile, layout)
        if last:
            total += rows_bytes(profile.head, profile, layout)
            total += sum(layer_bytes(layer, profile, layout) for layer in profile.draft_layers[:1] if drafts)
        result.append(total)
    return tuple(result)
