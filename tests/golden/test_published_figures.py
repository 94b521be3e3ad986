"""The figures of the founding notes' tables, cell by cell: ours beside theirs, as docs/published-layouts.md shows them.

A cell is reproduced where both agree within a tenth, else contradicted; which it is, is part of what is checked.
"""

import pytest

from shardwright.catalog.load import gpu_catalog
from shardwright.models.checkpoint import stored_bytes
from shardwright.models.parse import parse_config
from shardwright.models.profile import CacheKind, ModelProfile

CONTEXTS = (4096, 8192, 32768, 131072)
SHAPES = {
    "4B": (34, 2560, 8, 4, 256, 10240),
    "12B": (48, 3840, 16, 8, 256, 15360),
    "27B": (62, 5376, 32, 16, 128, 21504),
}
THEIRS = {
    ("4B", None): (9.6, (1.4, 2.8, 11.2, 44.8)), ("4B", "awq"): (2.4, (0.4, 0.8, 2.9, 11.6)),
    ("12B", None): (28.8, (3.1, 6.2, 24.8, 99.2)), ("12B", "awq"): (7.2, (0.8, 1.6, 6.4, 25.6)),
    ("27B", None): (64.8, (5.5, 11, 44, 176)), ("27B", "awq"): (16.2, (1.4, 2.8, 11.2, 44.8)),
}  # fmt: skip
"""GB of weights, and of the KV cache of one request at each context."""
OURS = {
    ("4B", None): (8.6, (0.21, 0.29, 0.79, 2.81)), ("4B", "awq"): (3.85, (0.21, 0.29, 0.79, 2.81)),
    ("12B", None): (24.39, (0.6, 0.87, 2.48, 8.93)), ("12B", "awq"): (8.47, (0.6, 0.87, 2.48, 8.93)),
    ("27B", None): (54.91, (0.77, 1.11, 3.12, 11.17)), ("27B", "awq"): (17.02, (0.77, 1.11, 3.12, 11.17)),
}  # fmt: skip
"""The same from the published configs: five of six layers look back 1,024 tokens, and heads share keys and values."""


def gemma(size: str, quantization: str | None) -> ModelProfile:
    layers, hidden, heads, kv_heads, head, inner = SHAPES[size]
    text = {
        "model_type": "gemma3_text", "num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "head_dim": head, "intermediate_size": inner, "sliding_window": 1024,
        "sliding_window_pattern": 6, "vocab_size": 262208, "max_position_embeddings": 131072,
    }  # fmt: skip
    vision = {
        "model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
        "num_attention_heads": 16, "patch_size": 14, "image_size": 896,
    }  # fmt: skip
    config = {
        "architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "torch_dtype": "bfloat16",
        "text_config": text, "vision_config": vision,
    }  # fmt: skip
    return parse_config(config, model_id=f"test/gemma-3-{size}", quantization=quantization)


def cache_gb(profile: ModelProfile, context: int) -> float:
    """KV cache of one request in 16 bits."""
    caches = [cache for layer in profile.layers for cache in layer.caches]
    tokens = [min(context, c.window) if c.kind is CacheKind.SLIDING else context for c in caches]
    return sum(n * c.kv_heads * (c.key_dim + c.value_dim) * 2 for n, c in zip(tokens, caches, strict=True)) / 1e9


@pytest.mark.parametrize("case", THEIRS)
def test_memory_of_gemma_3(case: tuple[str, str | None]) -> None:
    profile, (weights, caches) = gemma(*case), OURS[case]
    assert stored_bytes(profile) / 1e9 == pytest.approx(weights, rel=0.01)
    found = [cache_gb(profile, context) for context in CONTEXTS]
    assert found == [pytest.approx(cache, abs=0.01) for cache in caches]
    theirs = THEIRS[case][1]
    assert not any(cache == pytest.approx(said, rel=0.1) for cache, said in zip(found, theirs, strict=True))


@pytest.mark.parametrize(
    ("label", "gigabytes"),
    [
        ("NVIDIA-H200", 141), ("NVIDIA-A100-SXM4-40GB", 40), ("NVIDIA-A100-SXM4-80GB", 80), ("NVIDIA-A40", 48),
        ("NVIDIA-RTX-A6000", 48), ("Tesla-V100-SXM2-32GB", 32), ("NVIDIA-GeForce-RTX-3090", 24),
    ],
)  # fmt: skip
def test_memory_of_gpus_is_what_is_sold_less_what_the_driver_keeps(label: str, gigabytes: int) -> None:
    found = gpu_catalog().find(label)
    assert found
    sold = found.product.memory_bytes / (1e9 if gigabytes == 141 else 1 << 30)
    assert gigabytes * 0.92 < sold < gigabytes * 1.07
