"""No config, however damaged, raises anything but `UnreadableModel`, and what is read is sound."""

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shardwright.models.errors import UnreadableModel
from shardwright.models.parse import parse_config

CONFIGS = [json.loads(p.read_text("utf-8")) for p in sorted((Path(__file__).parents[2] / "data" / "configs").glob("*"))]
KEYS = sorted({key for config in CONFIGS for part in (config, config.get("text_config", {})) for key in part})
scalars = st.none() | st.booleans() | st.integers(-5, 1 << 70) | st.floats() | st.text(max_size=8)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
)
WORDS = st.none() | st.sampled_from(["fp8", "awq", "none", "modelopt", "compressed-tensors", "nonsense"])


def read(config, word=None):
    """Parse, and check what comes out where anything does."""
    try:
        profile = parse_config(config, model_id="any/thing", quantization=word)
    except UnreadableModel as error:
        assert error.message
        return
    assert profile.num_layers == len(profile.layers) > 0
    assert profile.parameters >= 0
    assert profile.max_context_length > 0
    assert hash(profile) == hash(profile)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(CONFIGS), st.dictionaries(st.sampled_from(KEYS), values, max_size=3), WORDS)
def test_changed_keys(config, changes, word):
    read(config | changes, word)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(CONFIGS), st.dictionaries(st.sampled_from(KEYS), values, max_size=3))
def test_changed_keys_of_the_text_part(config, changes):
    inner = config.get("text_config", config)
    read({"model_type": "gemma3", "text_config": inner | changes})


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(CONFIGS), st.sets(st.sampled_from(KEYS), max_size=5))
def test_missing_keys(config, gone):
    read({key: value for key, value in config.items() if key not in gone})


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values)
def test_anything(config):
    read(config)


QUANTIZATION_KEYS = st.sampled_from(
    ["quant_method", "bits", "group_size", "weight_block_size", "config_groups", "ignore", "quant_algo", "targets",
     "weights", "modules_to_not_convert", "quantized_layers", "kv_cache_scheme", "num_bits", "type", "group_0"]
)  # fmt: skip
quantizations = st.recursive(
    scalars | st.sampled_from(["fp8", "re:.*(", "re:.*layers\\.(1|2)\\.[", "model.layers.1.mlp*", "Linear"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(QUANTIZATION_KEYS, inner, max_size=5),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(CONFIGS), st.dictionaries(QUANTIZATION_KEYS, quantizations, max_size=6))
def test_damaged_quantization(config, quantization):
    read(config | {"quantization_config": quantization})
