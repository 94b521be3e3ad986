"""Whether a cut of a model is possible at all: one function per rule of the engines, all run, every refusal kept.

A check looks at numbers of the model, the GPU product and the cut, and answers with need and have. It never knows a
node, how much memory is used (`memory` does) or how fast anything is (`cost` does). Sentences are `explain`'s business.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from shardwright.api.reasons import Reason
from shardwright.api.spec import EngineName
from shardwright.catalog.types import GpuProduct, Vendor
from shardwright.models.formats import WeightFormat
from shardwright.models.profile import Matrix, ModelProfile, Part, Split
from shardwright.plan import limits
from shardwright.plan.types import Layout, Rejection

VOCABULARY_PADDING = 64
"""vLLM pads the vocabulary to a multiple of this before it divides. Source: layers/vocab_parallel_embedding.py."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a cut is judged against."""

    model: ModelProfile
    product: GpuProduct
    engine: EngineName
    options: tuple[tuple[str, str], ...] = ()
    """Engine options as text, sorted, with dashes."""

    def option(self, name: str) -> str:
        """Value of an engine option; empty where it is not set."""
        return next((value for key, value in self.options if key == name), "")


Check = Callable[[Layout, Context], Rejection | None]


def vendor_is_supported(layout: Layout, context: Context) -> Rejection | None:
    """The engine has an image for GPUs of this vendor, and kernels for this generation."""
    product = context.product
    if product.vendor not in limits.ENGINE_VENDORS[context.engine] or product.family in limits.FAMILIES_BY_PLUGIN_ONLY:
        return _no(layout, Reason.ENGINE_DOES_NOT_SUPPORT_VENDOR, 1, 0, product.vendor)
    oldest, compute = limits.OLDEST_COMPUTE[context.engine], product.compute_capability
    if compute and compute < oldest:
        return _no(
            layout, Reason.ENGINE_DOES_NOT_SUPPORT_VENDOR, _tenths(oldest), _tenths(compute), "compute capability"
        )
    return None


def weight_format_runs(layout: Layout, context: Context) -> Rejection | None:
    """The GPU can run what the weights are stored as, if only by unpacking them first."""
    for weight_format in _formats(context.model):
        if context.product.vendor is Vendor.AMD and weight_format.name == "fp8" and not context.product.fp8_flops:
            return _no(layout, Reason.DTYPE_NEEDS_NEWER_GPU, 1, 0, "fp8")
        refusal = _needs(layout, context, limits.FORMAT_NEEDS_COMPUTE.get(weight_format.name), weight_format.name)
        if refusal:
            return refusal
    return None


def model_dtype_runs(layout: Layout, context: Context) -> Rejection | None:
    """The GPU computes in the model's dtype; the user may ask for another by the engine's own option."""
    asked = context.option("dtype")
    dtype = context.model.dtype if asked in ("", "auto") else asked
    needs = limits.BFLOAT16_NEEDS_COMPUTE if dtype in ("bfloat16", "bf16") else None
    return _needs(layout, context, needs, "bfloat16")


def kv_dtype_runs(layout: Layout, context: Context) -> Rejection | None:
    """The GPU has attention kernels for the KV cache's dtype."""
    asked = context.option("kv-cache-dtype")
    return _needs(layout, context, limits.KV_DTYPE_NEEDS_COMPUTE.get(asked), f"kv {asked}")


def heads_divide(layout: Layout, context: Context) -> Rejection | None:
    """Each rank gets equally many query heads."""
    return _divides(layout, Reason.HEADS_NOT_DIVISIBLE, context.model.num_attention_heads, layout.tensor, "heads")


def kv_heads_divide_or_repeat(layout: Layout, context: Context) -> Rejection | None:
    """KV heads are dealt out evenly, or each is copied to equally many ranks. MLA keeps one latent on every rank."""
    heads, tensor = context.model.num_kv_heads, layout.tensor
    if context.model.is_latent_attention or heads <= 0 or tensor == 1 or tensor % heads == 0 or heads % tensor == 0:
        return None
    return _no(layout, Reason.KV_HEADS_NOT_DIVISIBLE, _next_multiple(heads, tensor), heads, "KV heads")


def state_heads_divide(layout: Layout, context: Context) -> Rejection | None:
    """Mamba and linear-attention heads divide; groups fewer than the ranks are copied."""
    for heads in context.model.state_heads:
        if heads >= layout.tensor or layout.tensor % max(1, heads):
            refusal = _divides(layout, Reason.HEADS_NOT_DIVISIBLE, heads, layout.tensor, "state heads")
            if refusal:
                return refusal
    return None


def vision_heads_divide(layout: Layout, context: Context) -> Rejection | None:
    """A vision tower that is divided like the rest needs heads that divide."""
    divided = any(m.split is Split.TENSOR for m in context.model.vision)
    if not divided or context.option("mm-encoder-tp-mode") == "data":
        return None
    return _divides(layout, Reason.HEADS_NOT_DIVISIBLE, context.model.vision_heads, layout.tensor, "vision heads")


def vocabulary_divides(layout: Layout, context: Context) -> Rejection | None:
    """The padded vocabulary is dealt out evenly."""
    padded = _next_multiple(context.model.vocab_size, VOCABULARY_PADDING)
    return _divides(layout, Reason.VOCABULARY_NOT_DIVISIBLE, padded, layout.tensor, "tokens of vocabulary")


def linears_divide(layout: Layout, context: Context) -> Rejection | None:
    """Every divided matrix gives each rank an equal share; experts that are not spread are cut by tensor x data."""
    if layout.tensor == layout.data == 1:
        return None
    for dimension, ways in _divided(context.model, layout.tensor, _expert_ways(layout)):
        if dimension % ways:
            return _no(layout, Reason.LINEAR_NOT_DIVISIBLE, _next_multiple(dimension, ways), dimension, "columns")
    return None


def quantization_blocks_divide(layout: Layout, context: Context) -> Rejection | None:
    """Each rank's share of a quantised matrix is whole blocks (FP8), or whole tiles and groups (INT4). MXFP4 pads."""
    if layout.tensor == layout.data == 1:
        return None
    for share, block in _blocks(context.model, layout.tensor, _expert_ways(layout)):
        if share % block:
            reason = Reason.QUANTIZATION_BLOCK_NOT_DIVISIBLE
            return _no(layout, reason, _next_multiple(share, block), share, f"columns a rank, in blocks of {block}")
    return None


def layers_suffice(layout: Layout, context: Context) -> Rejection | None:
    """Every pipeline stage has a layer."""
    if layout.pipeline <= max(1, context.model.num_layers):
        return None
    return _no(layout, Reason.TOO_FEW_LAYERS, layout.pipeline, context.model.num_layers, "layers")


def experts_suffice(layout: Layout, context: Context) -> Rejection | None:
    """Experts exist where they are spread or attention is data-parallel; each rank holds one."""
    if not context.model.is_mixture_of_experts:
        return (
            _no(layout, Reason.NOT_A_MIXTURE_OF_EXPERTS, 1, 0, "experts") if layout.expert or layout.data > 1 else None
        )
    ranks = layout.tensor * layout.data
    if layout.expert and ranks > context.model.num_experts:
        return _no(layout, Reason.TOO_FEW_EXPERTS, ranks, context.model.num_experts, "experts")
    return None


def pipeline_is_supported(layout: Layout, context: Context) -> Rejection | None:
    """The engine's class for this architecture can be cut into stages."""
    unable = context.model.architecture in limits.CLASSES_WITHOUT_PIPELINE or context.model.is_encoder_decoder
    return (
        _no(layout, Reason.PIPELINE_NOT_SUPPORTED, layout.pipeline, 1, "stages")
        if unable and layout.pipeline > 1
        else None
    )


def engine_takes_data(layout: Layout, context: Context) -> Rejection | None:
    """TensorRT-LLM's attention data parallelism uses the tensor ranks, so it leaves tensor at 1."""
    if context.engine is EngineName.TRTLLM and layout.data > 1 and layout.tensor > 1:
        return _no(layout, Reason.NOT_SUPPORTED_YET, layout.tensor, 1, "tensor ranks beside data-parallel attention")
    return None


CHECKS: tuple[Check, ...] = (
    vendor_is_supported, model_dtype_runs, weight_format_runs, kv_dtype_runs, heads_divide, kv_heads_divide_or_repeat,
    state_heads_divide, vision_heads_divide, vocabulary_divides, linears_divide, quantization_blocks_divide,
    layers_suffice, experts_suffice, pipeline_is_supported, engine_takes_data,
)  # fmt: skip


def refusals(layout: Layout, context: Context) -> tuple[Rejection, ...]:
    """Run every check; empty = the cut is possible. `pool` of each refusal is left to the caller."""
    several = min(2, layout.nodes_per_replica)  # only whether there are several pods matters to a check
    return _refusals(layout if several == layout.nodes_per_replica else replace(layout, nodes_per_replica=2), context)


@lru_cache(maxsize=16384)
def _refusals(layout: Layout, context: Context) -> tuple[Rejection, ...]:
    return tuple(refusal for check in CHECKS if (refusal := check(layout, context)))


@lru_cache(maxsize=512)
def _divided(model: ModelProfile, tensor: int, expert_ways: int) -> tuple[tuple[int, int], ...]:
    """Distinct (dimension, ways) of all divided matrices."""
    found = {(_cut_dimension(m), expert_ways if m.split is Split.EXPERTS else tensor) for m in _cut_matrices(model)}
    return tuple(sorted(pair for pair in found if pair[1] > 1))


@lru_cache(maxsize=512)
def _blocks(model: ModelProfile, tensor: int, expert_ways: int) -> tuple[tuple[int, int], ...]:
    """Distinct (share of a rank, block it must be a multiple of) of all quantised, divided matrices."""
    found = set()
    for matrix in _cut_matrices(model):
        ways = expert_ways if matrix.split is Split.EXPERTS else tensor
        if matrix.split is Split.GROUPS:
            ways = min(tensor, matrix.groups or tensor)
        dimension = _cut_dimension(matrix)
        if matrix.format and ways > 1 and dimension % ways == 0:
            found |= {(dimension // ways, block) for block in _block_sizes(matrix)}
    return tuple(sorted(found))


def _block_sizes(matrix: Matrix) -> Iterator[int]:
    weight_format = matrix.format
    if weight_format is None:
        return
    if weight_format.block_rows:
        yield weight_format.block_rows if matrix.shard_outputs else weight_format.block_columns
    elif weight_format.name == "int4":
        yield limits.MARLIN_OUTPUTS if matrix.shard_outputs else max(limits.MARLIN_INPUTS, weight_format.group_size)


@lru_cache(maxsize=64)
def _formats(model: ModelProfile) -> tuple[WeightFormat, ...]:
    return model.weight_formats


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


def _expert_ways(layout: Layout) -> int:
    return 1 if layout.expert else layout.tensor * layout.data


def _divides(layout: Layout, reason: Reason, number: int, ways: int, unit: str) -> Rejection | None:
    return None if number % ways == 0 else _no(layout, reason, _next_multiple(number, ways), number, unit)


def _needs(layout: Layout, context: Context, needed: tuple[int, int] | None, what: str) -> Rejection | None:
    have = context.product.compute_capability
    if needed is None or have is None or have >= needed:
        return None
    return _no(layout, Reason.DTYPE_NEEDS_NEWER_GPU, _tenths(needed), _tenths(have), f"compute capability for {what}")


def _tenths(compute: tuple[int, int]) -> int:
    return compute[0] * 10 + compute[1]


def _next_multiple(number: int, of: int) -> int:
    return -(-number // of) * of


def _no(layout: Layout, reason: Reason, need: int, have: int, unit: str) -> Rejection:
    return Rejection("", str(layout), reason, need, have, unit)
