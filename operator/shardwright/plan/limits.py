"""What engines refuse by name: classes without pipeline support, vendors, formats by GPU generation. Rows with sources.

Facts only; `checks` decides with them. A row names an engine class or a storage format, never a single model.
"""

from shardwright.api.spec import EngineName
from shardwright.catalog.types import Vendor

CLASSES_WITHOUT_PIPELINE = frozenset(
    {
        "AriaForConditionalGeneration", "Gemma3nForCausalLM", "Gemma3nForConditionalGeneration",
        "Idefics3ForConditionalGeneration", "Mamba2ForCausalLM", "Phi4MMForCausalLM", "SmolVLMForConditionalGeneration",
        "WhisperForConditionalGeneration", "Zamba2ForCausalLM",
    }
)  # fmt: skip
"""Generate classes that lack the `SupportsPP` interface. Source: vLLM model_executor/models, 0.33.0."""

ENGINE_VENDORS = {
    EngineName.VLLM: frozenset({Vendor.NVIDIA, Vendor.AMD, Vendor.INTEL}),
    EngineName.TRTLLM: frozenset({Vendor.NVIDIA}),
}
"""Vendors that an engine publishes images for. Source: vLLM docs, installation; TensorRT-LLM support matrix."""

FAMILIES_BY_PLUGIN_ONLY = frozenset({"Gaudi2", "Gaudi3"})
"""Accelerators that only an out-of-tree vLLM plugin drives. Source: vLLM docs, hardware plugins."""

OLDEST_COMPUTE = {EngineName.VLLM: (7, 0), EngineName.TRTLLM: (8, 0)}
"""Oldest CUDA compute capability with kernels. Source: vLLM docs, GPU requirements; TensorRT-LLM support matrix."""

FORMAT_NEEDS_COMPUTE = {
    "fp8": (7, 5), "int8": (7, 5), "int4": (7, 5), "nvfp4": (7, 5), "mxfp4": (8, 0), "mxfp8": (8, 0),
    "bitsandbytes": (7, 0),
}  # fmt: skip
"""Oldest compute capability on which a format runs at all, weight-only included. Source: vLLM
model_executor/layers/quantization, `get_min_capability` of each method, 0.33.0."""

KV_DTYPE_NEEDS_COMPUTE = {"fp8": (8, 9), "fp8_e4m3": (8, 9), "fp8_e5m2": (8, 0), "fp8_ds_mla": (9, 0), "nvfp4": (10, 0)}
"""Oldest compute capability with kernels for a KV cache dtype. Source: vLLM v1/attention/backends, 0.33.0."""

BFLOAT16_NEEDS_COMPUTE = (8, 0)
"""Source: vLLM platforms/cuda.py, check_if_supports_dtype."""

MARLIN_OUTPUTS, MARLIN_INPUTS = 64, 128
"""Tile of the INT4 kernels that each shard must fill. Source: vLLM quantization/utils/marlin_utils.py."""

PADDED_FORMATS = frozenset({"mxfp4"})
"""Formats whose kernels pad a share that is no whole block. Source: vLLM quantization/mxfp4.py."""

FINEST_BLOCK = 32
"""To what scales of block-wise FP8 experts may be refined where a rank's share is no whole block. Source: vLLM 0.30,
model_executor/layers/fused_moe."""
