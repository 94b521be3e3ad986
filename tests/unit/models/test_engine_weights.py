"""Weights and caches of whole families as the engine itself builds them from its class defaults.

The table was counted by vLLM 0.32.0: every class was built without storage and its parameters, buffers and cache
specifications summed (`scripts/check_vllm_weights.py`). A config here states nothing but its type, so that the class
defaults are checked along with the families' rules.
"""

import json
from collections import Counter
from pathlib import Path

import pytest

from shardwright.api.spec import EngineName
from shardwright.models.parse import parse_config
from shardwright.models.profile import CacheKind, ModelProfile, Part
from shardwright.plan.memory_arguments import EngineArguments
from shardwright.plan.memory_pages import CacheCase, layer_pages
from shardwright.plan.memory_versions import version_facts
from shardwright.plan.memory_weights import NO_PADDING, shard_of
from shardwright.plan.types import Layout

TABLE = json.loads((Path(__file__).parents[2] / "data" / "memory" / "engine_weights.json").read_text("utf-8"))
WHOLE = Layout()


def profile_of(model_type: str) -> ModelProfile:
    config = {
        "model_type": model_type, "architectures": [TABLE[model_type]["architecture"]], "torch_dtype": "bfloat16",
    }  # fmt: skip
    return parse_config(config, model_id=f"test/{model_type}")


def weights(profile: ModelProfile) -> int:
    """Bytes on one GPU, before the allocator rounds."""
    matrices = [*profile.embedding, *profile.head, *profile.vision, *profile.iter_matrices()]
    shards = (shard_of(m, profile, WHOLE, NO_PADDING) for m in matrices if m.part is not Part.ABSORBED)
    return sum(shard.values + shard.scales + shard.bias for shard in shards)


def caches(profile: ModelProfile) -> Counter[tuple[int, int]]:
    """How many layers keep so many bytes a token for a window of so many tokens (in pairs); states count as (0, 0)."""
    context = min(profile.max_context_length, 131072)
    facts = version_facts(EngineName.VLLM, "0.32.0")
    case = CacheCase(profile, WHOLE, EngineArguments(max_model_len=context), facts, False)
    pages = [page for _, page in layer_pages(case)]
    return Counter(
        (0, 0) if page.kind is CacheKind.STATE else (page.window // 2, page.page_bytes // page.tokens) for page in pages
    )


@pytest.mark.parametrize("model_type", TABLE)
def test_as_the_engine_builds_it(model_type: str) -> None:
    profile, row = profile_of(model_type), TABLE[model_type]
    assert weights(profile) == pytest.approx(row["bytes"], rel=0.01)
    assert caches(profile) == Counter({(window // 2, size): count for window, size, count in row["caches"]})
