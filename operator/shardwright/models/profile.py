"""What planning must know of a model, as frozen numbers. Where they came from is the caller's business."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """A transformer, reduced to what memory and speed depend on. (First cut: the models room extends it.)"""

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
    assumptions: tuple[str, ...] = ()

    @property
    def is_mixture_of_experts(self) -> bool:
        """Whether layers route tokens to experts."""
        return self.num_experts > 0
