"""The activation peak of the engine's profiling run: the larger of a forward pass and the sampler's dummy run.

The sampler's share is exact arithmetic (sequences x vocabulary x bytes of its copies of the logits); the forward pass
is the widest moment of one layer. What is fitted (the bytes beside hidden states) stands by version in the catalogue,
with its logs.
"""

from dataclasses import dataclass
from functools import lru_cache

from shardwright.models.profile import CacheKind, ModelProfile, Part
from shardwright.plan.memory_versions import VersionFacts
from shardwright.plan.memory_weights import share, up
from shardwright.plan.types import Layout

ACTIVATION_BYTES = 2


@dataclass(frozen=True, slots=True)
class Batch:
    """The limits that size the profiling run."""

    tokens: int
    sequences: int
    context: int


INDEX_LOGITS_BYTES = 512 << 20
HIDDEN_COPIES = 5
"""Hidden states alive at the widest moment: input, residual, normed, output and one being made."""


def experts_bytes(profile: ModelProfile, layout: Layout, tokens: int) -> int:
    """Buffers of the routed experts: inputs sorted by expert and the gated intermediate, twice."""
    if not profile.is_mixture_of_experts:
        return 0
    routed = tokens * profile.experts_per_token
    inner = profile.expert_intermediate_size
    if layout.expert:
        routed = share(routed, layout.tensor * layout.data)
    else:
        inner = share(inner, layout.tensor * layout.data)
    return routed * (profile.hidden_size + 2 * inner) * ACTIVATION_BYTES


def forward_bytes(profile: ModelProfile, layout: Layout, tokens: int) -> int:
    """The widest moment of a layer: gate and up projections, their product, and the hidden states around them."""
    inner = share(max(profile.intermediate_size, profile.shared_expert_intermediate_size), layout.tensor)
    streams = profile.residual_streams * (2 if profile.residual_streams > 1 else 1)
    wide = 3 * inner + HIDDEN_COPIES * profile.hidden_size * streams
    narrow = (
        inner if any(f.bits == 8 for f in profile.weight_formats) else 0
    )  # the 8-bit copy that goes into the matrix product
    return tokens * (wide * ACTIVATION_BYTES + narrow) + experts_bytes(profile, layout, tokens)


def sampler_bytes(profile: ModelProfile, facts: VersionFacts, sequences: int) -> int:
    """Copies of the logits at the sampler's peak, whole on every rank of the last stage."""
    return sequences * up(profile.vocab_size, 64) * facts.sampler_bytes


def sparse_bytes(profile: ModelProfile, tokens: int, context: int) -> int:
    """Buffers of sparse latent attention that the profiling run reserves.

    Gathered vectors or index keys, and index logits.

    Sizes as in vLLM 0.32.0: flashmla_sparse (5 contexts of 576 bfloat16), DeepSeek V4 (4 compressed contexts),
    indexer (40 contexts of 132 bytes over the compression), and the cap on the logits.
    """
    if not profile.is_latent_attention:
        return 0
    index = next((c for layer in profile.layers for c in layer.caches if c.kind is CacheKind.INDEX), None)
    if index is None:
        return 0
    latent = next((c for layer in profile.layers for c in layer.caches if c.kind is CacheKind.LATENT), index)
    if index.packs:
        gathered = 4 * (context // index.tokens_per_state + tokens) * latent.key_dim * ACTIVATION_BYTES
    else:
        gathered = 5 * context * latent.key_dim * ACTIVATION_BYTES
    return max(gathered, 40 * context // index.tokens_per_state * (index.key_dim + 4)) + INDEX_LOGITS_BYTES


@lru_cache(maxsize=4096)
def stage_activations(profile: ModelProfile, layout: Layout, facts: VersionFacts, batch: Batch) -> tuple[int, ...]:
    """Peak of a rank in each pipeline stage, first to last."""
    forward = forward_bytes(profile, layout, batch.tokens) + sparse_bytes(profile, batch.tokens, batch.context)
    hidden = batch.tokens * profile.hidden_size * ACTIVATION_BYTES
    seen = (
        hidden + batch.tokens * profile.vision_input_bytes if profile.is_multimodal else 0
    )  # pictures and their tokens
    kept = hidden + seen + facts.activation_base
    lasting = experts_bytes(profile, layout, batch.tokens) if facts.expert_workspace and workspace_lasts(profile) else 0
    middle = forward + facts.activation_base
    last = max(middle, sampler_bytes(profile, facts, batch.sequences) + kept + lasting)
    return (*([middle] * (layout.pipeline - 1)), last)


@lru_cache(maxsize=512)
def workspace_lasts(profile: ModelProfile) -> bool:
    """Whether the experts' kernels keep a shared workspace; the MXFP4 kernels allocate theirs anew."""
    layers = {id(layer): layer for layer in profile.layers}.values()
    experts = (m.format for layer in layers for m in layer.matrices if m.part is Part.EXPERT)
    return not any(stored is not None and stored.name == "mxfp4" for stored in experts)
