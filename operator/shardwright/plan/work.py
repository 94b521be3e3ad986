"""What one step of a model moves and computes, by kind of matrix. From shapes alone; knows no GPU and no layout."""

from dataclasses import dataclass
from functools import lru_cache

from shardwright.models.profile import CacheKind, Matrix, ModelProfile, Part, Split


@dataclass(frozen=True, slots=True)
class Work:
    """Of the whole model, before any cut. Bytes are stored bytes: what a step reads."""

    layers: int
    hidden: int
    divided_bytes: int
    """Matrices that tensor parallelism divides, every token passes through."""
    divided_parameters: int
    whole_bytes: int
    """Matrices that every rank holds and reads in full."""
    whole_parameters: int
    expert_bytes: int
    """All routed experts of all layers."""
    expert_parameters: int
    experts: int
    experts_per_token: int
    expert_layers: int
    expert_width: int
    """Inner size of one expert: thin slices of it keep a GPU's units half idle."""
    attention_layers: int
    """Layers whose attention looks at every earlier token."""
    attention_width: int
    """Query heads x head dimension."""
    bits: int
    """Of the weights that dominate."""


@lru_cache(maxsize=256)
def work_of(model: ModelProfile) -> Work:
    """Sum the model's matrices."""
    layers = [m for layer in model.layers for m in layer.matrices if m.part is not Part.ABSORBED]
    head = [*model.head, *(model.embedding[:1] if model.tied_embeddings else ())]
    experts = [m for m in layers if m.part is Part.EXPERT]
    others = [*(m for m in layers if m.part is not Part.EXPERT), *head]
    divided = [m for m in others if m.split is not Split.WHOLE]
    whole = [m for m in others if m.split is Split.WHOLE]
    full = (CacheKind.FULL, CacheKind.LATENT, CacheKind.INDEX)
    return Work(
        layers=max(1, model.num_layers),
        hidden=model.hidden_size,
        divided_bytes=_bytes(divided, model),
        divided_parameters=sum(m.elements for m in divided),
        whole_bytes=_bytes(whole, model),
        whole_parameters=sum(m.elements for m in whole),
        expert_bytes=_bytes(experts, model),
        expert_parameters=sum(m.elements for m in experts),
        experts=model.num_experts,
        experts_per_token=model.experts_per_token or min(1, model.num_experts),
        expert_layers=sum(any(m.part is Part.EXPERT for m in layer.matrices) for layer in model.layers),
        expert_width=model.expert_intermediate_size,
        attention_layers=sum(any(c.kind in full for c in layer.caches) for layer in model.layers),
        attention_width=model.num_attention_heads * model.head_dim,
        bits=_bits([*experts, *divided], model),
    )


def _bytes(matrices: list[Matrix], model: ModelProfile) -> int:
    return sum(_stored(m, model) for m in matrices)


def _stored(matrix: Matrix, model: ModelProfile) -> int:
    if matrix.format:
        return matrix.count * matrix.format.stored_bytes(matrix.rows, matrix.columns)
    return matrix.elements * (matrix.element_bytes or model.dtype_bytes)


def _bits(matrices: list[Matrix], model: ModelProfile) -> int:
    """Bits of the format that holds most parameters."""
    count: dict[int, int] = {}
    for matrix in matrices:
        bits = matrix.format.bits if matrix.format else 8 * (matrix.element_bytes or model.dtype_bytes)
        count[bits] = count.get(bits, 0) + matrix.elements
    return max(count, key=lambda bits: (count[bits], bits), default=16)
