"""What planning must know of a model, as frozen numbers: matrices, caches and layers.

Where they came from is not its business.

Sizes are elements, bytes or tokens as each name says. Nothing here knows a config file, an engine or a GPU.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

from shardwright.models.formats import WeightFormat


class Part(StrEnum):
    """What a matrix belongs to."""

    ATTENTION = "attention"
    LINEAR_ATTENTION = "linear-attention"
    MLP = "mlp"
    SHARED_EXPERT = "shared-expert"
    EXPERT = "expert"
    ROUTER = "router"
    NORM = "norm"
    EMBEDDING = "embedding"
    HEAD = "head"
    VISION = "vision"
    ABSORBED = "absorbed"
    """Copies that the engine makes at load (MLA's up-projections, dequantised); not parameters of the model."""


class Split(StrEnum):
    """What tensor parallelism does to a matrix."""

    TENSOR = "tensor"
    """1/TP on each rank."""
    GROUPS = "groups"
    """1/TP while there are groups (KV heads) left to divide, then replicated."""
    WHOLE = "whole"
    """A full copy on every rank."""
    VOCABULARY = "vocabulary"
    """Rows padded to a multiple of 64, then 1/TP."""
    EXPERTS = "experts"
    """Routed experts: 1/(TP x DP) of each, or whole experts where expert parallelism is on."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """One weight (or `count` equal ones), its shape and how it is divided and stored."""

    name: str
    """As checkpoints call it below its layer: `self_attn.q_proj`."""
    part: Part
    rows: int
    """Outputs."""
    columns: int
    """Inputs; 1 for a vector."""
    split: Split = Split.TENSOR
    count: int = 1
    groups: int = 0
    """For `Split.GROUPS`: how many may be divided."""
    bias: bool = False
    format: WeightFormat | None = None
    """How it is stored; None = the model's dtype, or `element_bytes`."""
    element_bytes: int = 0
    """Where it differs from the model's dtype (a float32 router, say)."""
    quantizable: bool = True
    """Whether a quantisation method would touch it at all."""
    shard_outputs: bool = True
    """Divided along the outputs (rows); else along the inputs (columns)."""

    @property
    def elements(self) -> int:
        """Parameters in all copies."""
        return self.count * (self.rows * self.columns + (self.rows if self.bias else 0))


class CacheKind(StrEnum):
    """How a layer remembers."""

    FULL = "full"
    SLIDING = "sliding"
    CHUNKED = "chunked"
    LATENT = "latent"
    """MLA: one compressed vector per token, the same on every TP rank."""
    LATENT_SLIDING = "latent-sliding"
    INDEX = "index"
    """Keys of a sparse-attention indexer, the same on every TP rank."""
    STATE = "state"
    """A fixed amount per request (Mamba, linear attention)."""
    CROSS = "cross"
    """Keys of an encoder's output, by encoder length."""


@dataclass(frozen=True, slots=True)
class StatePiece:
    """One tensor of a recurrent state: `elements` of them, divided by TP where `divisible` divides."""

    elements: int
    element_bytes: int
    divisible: int
    """Heads or channels that TP divides; 0 = whole on each rank."""
    groups: int = 0
    groups_elements: int = 0
    """Part of `elements` that belongs to shared groups (Mamba's B and C): replicated when TP exceeds the groups."""
    by_model_dtype: bool = False
    """Its bytes follow the KV cache's state dtype option."""


@dataclass(frozen=True, slots=True)
class Cache:
    """What one layer keeps for each token, or for each request."""

    kind: CacheKind
    kv_heads: int = 1
    key_dim: int = 0
    value_dim: int = 0
    window: int = 0
    """Tokens of a sliding window or an attention chunk."""
    tokens_per_state: int = 1
    """How many tokens share one stored vector (compressed caches)."""
    packed_bytes: int = 0
    """Bytes of one stored vector in the model's own packed format; 0 = heads x dims x dtype."""
    block_tokens: int = 0
    """Block size that the model's backend dictates; 0 = the engine's."""
    page_alignment: int = 1
    """Pages are rounded up to a multiple of it."""
    packs: bool = False
    """Pages of unlike sizes lie side by side in one block (the whole model does so, or none of it)."""
    state: tuple[StatePiece, ...] = ()


@dataclass(frozen=True, slots=True)
class LayerShape:
    """One layer. Equal layers are one object, so that callers can count them."""

    matrices: tuple[Matrix, ...]
    caches: tuple[Cache, ...] = ()

    @property
    def parameters(self) -> int:
        """Parameters of the layer."""
        return sum(m.elements for m in self.matrices if m.part is not Part.ABSORBED)


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """A transformer, reduced to what memory and speed depend on."""

    id: str
    architecture: str
    num_layers: int
    hidden_size: int
    num_attention_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    max_context_length: int
    num_experts: int
    """0 = dense."""
    dtype: str
    quantization: str | None
    """What it is run as."""
    assumptions: tuple[str, ...] = ()
    model_type: str = ""
    intermediate_size: int = 0
    """Of a dense MLP; 0 where every layer is a mixture."""
    expert_intermediate_size: int = 0
    experts_per_token: int = 0
    shared_expert_intermediate_size: int = 0
    value_head_dim: int = 0
    is_latent_attention: bool = False
    """MLA: caches are not divided by tensor parallelism."""
    is_multimodal: bool = False
    is_encoder_decoder: bool = False
    has_state: bool = False
    """Some layers keep a recurrent state (Mamba, linear attention)."""
    state_heads: tuple[int, ...] = ()
    """Head and group counts of those layers that tensor parallelism must divide (groups may be replicated)."""
    vision_heads: int = 0
    vision_tokens: int = 0
    """Most tokens of one image; 0 = unknown or none."""
    vision_hidden_size: int = 0
    vision_input_bytes: int = 0
    """Bytes of pixels behind one token that the tower makes."""
    tied_embeddings: bool = False
    residual_streams: int = 1
    """Hyper-connections carry so many hidden states per token, mixed in float32."""
    rope_bytes: int = 0
    """Tables of rotary positions that the engine keeps on each rank."""
    kv_cache_dtype: str | None = None
    """What the checkpoint asks for, where it has scales for it."""
    checkpoint_quantization: str | None = None
    """The method that the checkpoint's own files state.

    Differs from `quantization` where the engine is to quantise it.
    """
    layers: tuple[LayerShape, ...] = ()
    embedding: tuple[Matrix, ...] = ()
    """Needed on the first pipeline stage; the token embedding, which is the first, on the last too when tied."""
    head: tuple[Matrix, ...] = ()
    """Needed on the last pipeline stage: final norm and, unless tied, the output head."""
    vision: tuple[Matrix, ...] = ()
    draft_layers: tuple[LayerShape, ...] = ()
    """Multi-token-prediction layers: loaded only for speculative decoding."""
    checkpoint_bytes: int = 0
    """Bytes of all tensors as the checkpoint's own headers state them; 0 = they were not read."""
    weights_scale_permille: int = 1000
    """By how much weights are counted beyond what the config explains, because the checkpoint holds more."""

    @property
    def is_mixture_of_experts(self) -> bool:
        """Whether layers route tokens to experts."""
        return self.num_experts > 0

    @property
    def dtype_bytes(self) -> int:
        """Bytes of one unquantised element."""
        return 4 if self.dtype == "float32" else 2

    @property
    def parameters(self) -> int:
        """All parameters, without draft layers."""
        outer = (*self.embedding, *self.head, *self.vision)
        return sum(m.elements for m in outer) + sum(layer.parameters for layer in self.layers)

    @property
    def active_parameters(self) -> int:
        """Parameters that one token passes through, without the embedding table."""
        total = sum(m.elements for m in self.head)
        if self.tied_embeddings:
            total += sum(m.elements for m in self.embedding[:1])
        for matrix in self.iter_matrices():
            if matrix.part is Part.EXPERT:
                total += matrix.elements * min(self.experts_per_token, matrix.count) // max(1, matrix.count)
            elif matrix.part is not Part.ABSORBED:
                total += matrix.elements
        return total

    @property
    def weight_formats(self) -> tuple[WeightFormat, ...]:
        """The distinct storage formats in use, sorted by name."""
        return _formats(self)

    def iter_matrices(self) -> Iterator[Matrix]:
        """Every matrix of every layer, in order."""
        for layer in self.layers:
            yield from layer.matrices

    def with_assumptions(self, *sentences: str) -> "ModelProfile":
        """The same with more stated assumptions."""
        return replace(self, assumptions=(*self.assumptions, *sentences))

    def __hash__(self) -> int:
        """Cheap: layers are not walked."""
        return hash((self.id, self.architecture, self.quantization, self.num_layers, self.hidden_size, self.vocab_size))


@lru_cache(maxsize=512)
def _formats(profile: ModelProfile) -> tuple[WeightFormat, ...]:
    """Every storage format of a profile, each once."""
    layers = {id(layer): layer for layer in profile.layers}.values()
    return tuple(sorted({m.format for layer in layers for m in layer.matrices if m.format}, key=lambda f: f.name))
