"""Whatever a config.json says, of whatever family, a plan or a reason comes out; and a better layout is one."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shardwright.api.spec import Priority
from shardwright.catalog.model_rows import class_defaults, families
from shardwright.commands.estimate_requests import answer
from shardwright.models.errors import UnreadableModel
from shardwright.models.parse import parse_config
from shardwright.models.profile import ModelProfile
from shardwright.plan.better import better
from shardwright.plan.choose import choose
from shardwright.plan.types import LayoutPins
from support.planning import dense, dense_70b, inventory, mixture, pool, request

TYPES = sorted({*class_defaults(), *families()})
KEYS = sorted(
    {key for row in class_defaults().values() for key in row} | {"layer_types", "rope_scaling", "audio_config"}
)
QUANTIZED = [
    {}, {"quant_method": "fp8", "weight_block_size": [128, 128]}, {"quant_method": "awq", "bits": 4, "group_size": 128},
    {"quant_method": "modelopt", "quant_algo": "NVFP4"}, {"quant_method": "mxfp4"}, {"quant_method": "gguf"},
]  # fmt: skip
numbers = st.sampled_from([0, 1, 2, 3, 7, 8, 16, 64, 128, 1000, 4096, 1 << 20, 1 << 33, -1, 2.5])
sections = st.dictionaries(st.sampled_from(KEYS), numbers, max_size=6)
values = numbers | st.none() | st.booleans() | st.lists(numbers, max_size=3) | sections | st.text(max_size=5)
FLEET = inventory(pool(nodes=2), pool("l40s-4", "L40S", gpus=4, islands=2), pool("mi300x-8", "MI300X"))


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """A config of a known family with its class defaults, some keys changed, some sections nested."""
    model_type = draw(st.sampled_from(TYPES))
    config = {
        "model_type": model_type,
        "num_hidden_layers": 4,
        "hidden_size": 1024,
        "num_attention_heads": 16,
        "vocab_size": 32000,
        **draw(st.dictionaries(st.sampled_from(KEYS), values, max_size=5)),
        "quantization_config": draw(st.sampled_from(QUANTIZED)),
    }
    nested = draw(st.sampled_from([None, None, "text_config", "llm_config", "thinker_config"]))
    vision = draw(st.none() | sections)
    return {"model_type": model_type, nested: config, "vision_config": vision} if nested else config


def profile(config: dict[str, Any]) -> ModelProfile | None:
    try:
        return parse_config(config, model_id="any/thing")
    except UnreadableModel as error:
        assert error.message
        return None


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(configs(), st.sampled_from(list(Priority)), st.sampled_from([None, 1, 8192, 1 << 40]))
def test_any_family_is_planned_or_refused_in_words(config: dict[str, Any], priority: Priority, context: int | None):
    model = profile(config)
    if model is None:
        return
    plan = choose(request(model, priority=priority, context_length=context), FLEET)
    assert plan.why
    assert plan.placements or plan.rejected
    for placement in plan.placements:
        layout = placement.layout
        assert layout.tensor * layout.pipeline * layout.data == layout.gpus_per_replica
        assert all(rank.kv_cache_bytes > 0 for rank in placement.memory.ranks)


words = st.text(max_size=6) | st.sampled_from(["H100", "vllm", "0.32.0", "true", "1e9", "-1", "fp8"])
odd = st.none() | st.booleans() | st.integers(-3, 1 << 50) | st.floats() | words
trees = st.recursive(odd, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4))
FIELDS = st.sampled_from(["id", "model", "gpu", "layout", "nodes", "engine", "engine_args"])


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(FIELDS, trees))
def test_a_request_of_any_form_is_answered(changes: dict[str, Any]):
    whole = {
        "id": "1", "model": {"model_id": "Qwen/Qwen3-8B"}, "gpu": {"product": "H100"}, "layout": {"tensor": 1},
        "nodes": 1, "engine": {"name": "vllm"}, "engine_args": {},
    }  # fmt: skip
    found = answer({**whole, **changes})
    assert "fits" in found or found["error"]


MODELS = [dense(), dense_70b(), mixture()]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(MODELS),
    st.sampled_from(list(Priority)),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from([None, 2, 9]),
)
def test_a_better_layout_is_never_better_than_itself_nor_both_ways(
    model: ModelProfile, priority: Priority, tensor: int, replicas: int | None
):
    asked = request(model, priority=priority, replicas=replicas)
    best = choose(asked, FLEET)
    running = choose(request(model, priority=priority, replicas=replicas, pins=LayoutPins(tensor=tensor)), FLEET)
    assert better(best, best, asked, FLEET) == ""
    if running.placements:
        assert not (better(running, best, asked, FLEET) and better(best, running, asked, FLEET))
