"""Whether a cut of a model is possible at all: one function per rule of the engines, all run, every refusal kept.

A check looks at the model, the GPU product, the options and the cut, and answers with need and have; what the model's
own numbers forbid is `divisibility`'s. It never knows a node, how much memory is used (`memory` does) or how fast
anything is (`cost` does). Sentences are `explain`'s business.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from shardwright.api.reasons import Reason
from shardwright.api.spec import EngineName
from shardwright.catalog.types import GpuProduct, Vendor
from shardwright.models.formats import WeightFormat
from shardwright.models.profile import ModelProfile, Split
from shardwright.plan import limits
from shardwright.plan.divisibility import broken, uneven
from shardwright.plan.memory_versions import version_facts
from shardwright.plan.types import Layout, Rejection, in_one_pod


@dataclass(frozen=True, slots=True)
class Context:
    """What a cut is judged against."""

    model: ModelProfile
    product: GpuProduct
    engine: EngineName
    options: tuple[tuple[str, str], ...] = ()
    """Engine options as text, sorted, with dashes."""
    engine_version: str = ""
    """Empty = the default version."""

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


def vision_heads_divide(layout: Layout, context: Context) -> Rejection | None:
    """A vision tower that is divided like the rest needs heads that divide."""
    divided = any(m.split is Split.TENSOR for m in context.model.vision)
    if not divided or context.option("mm-encoder-tp-mode") == "data":
        return None
    found = uneven(Reason.HEADS_NOT_DIVISIBLE, context.model.vision_heads, layout.tensor, "vision heads")
    return _no(layout, found.reason, found.need, found.have, found.unit) if found else None


def pipeline_is_supported(layout: Layout, context: Context) -> Rejection | None:
    """The engine's class for this architecture can be cut into stages."""
    unable = context.model.architecture in limits.CLASSES_WITHOUT_PIPELINE or context.model.is_encoder_decoder
    return (
        _no(layout, Reason.PIPELINE_NOT_SUPPORTED, layout.pipeline, 1, "stages")
        if unable and layout.pipeline > 1
        else None
    )


def data_needs_experts(layout: Layout, context: Context) -> Rejection | None:
    """Data ranks are for attention beside shared experts; of a dense model they are replicas, which fail one by one."""
    if layout.data == 1 or layout.expert or context.model.is_mixture_of_experts:
        return None
    return _no(layout, Reason.NOT_A_MIXTURE_OF_EXPERTS, 1, 0, "experts")


def engine_takes_data(layout: Layout, context: Context) -> Rejection | None:
    """TensorRT-LLM's attention data parallelism uses the tensor ranks, so it leaves tensor at 1."""
    if context.engine is EngineName.TRTLLM and layout.data > 1 and layout.tensor > 1:
        return _no(layout, Reason.NOT_SUPPORTED_YET, layout.tensor, 1, "tensor ranks beside data-parallel attention")
    return None


CHECKS: tuple[Check, ...] = (
    vendor_is_supported, model_dtype_runs, weight_format_runs, kv_dtype_runs, vision_heads_divide,
    pipeline_is_supported, data_needs_experts, engine_takes_data,
)  # fmt: skip


def refusals(layout: Layout, context: Context) -> tuple[Rejection, ...]:
    """Run every check; empty = the cut is possible. `pool` of each refusal is left to the caller."""
    return _refusals(in_one_pod(layout), context)


@lru_cache(maxsize=16384)
def _refusals(layout: Layout, context: Context) -> tuple[Rejection, ...]:
    facts = version_facts(context.engine, context.engine_version)
    impossible = (_no(layout, b.reason, b.need, b.have, b.unit) for b in broken(context.model, layout, facts))
    return (*(refusal for check in CHECKS if (refusal := check(layout, context))), *impossible)


@lru_cache(maxsize=64)
def _formats(model: ModelProfile) -> tuple[WeightFormat, ...]:
    return model.weight_formats


def _needs(layout: Layout, context: Context, needed: tuple[int, int] | None, what: str) -> Rejection | None:
    have = context.product.compute_capability
    if needed is None or have is None or have >= needed:
        return None
    return _no(layout, Reason.DTYPE_NEEDS_NEWER_GPU, _tenths(needed), _tenths(have), f"compute capability for {what}")


def _tenths(compute: tuple[int, int]) -> int:
    return compute[0] * 10 + compute[1]


def _no(layout: Layout, reason: Reason, need: int, have: int, unit: str) -> Rejection:
    return Rejection("", str(layout), reason, need, have, unit)
