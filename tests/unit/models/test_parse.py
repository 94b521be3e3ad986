"""config.json as people publish it, against figures that can be looked up or counted by hand."""

import json
from pathlib import Path

import pytest

from shardwright.api.reasons import Reason
from shardwright.models.bundled import bundled_ids, bundled_profile
from shardwright.models.errors import UnreadableModel
from shardwright.models.parse import parse_config
from shardwright.models.profile import CacheKind, Part

CONFIGS = Path(__file__).parents[2] / "data" / "configs"


def read(name, **changes):
    return json.loads((CONFIGS / f"{name}.json").read_text("utf-8")) | changes


@pytest.mark.parametrize(
    ("model", "billions", "active"),
    [
        ("Qwen/Qwen3-8B", 8.19, 7.57),
        ("Qwen/Qwen3-32B", 32.76, 31.98),
        ("meta-llama/Llama-3.3-70B-Instruct", 70.55, 69.50),
        ("Qwen/Qwen3-235B-A22B", 235.09, 21.57),
        ("deepseek-ai/DeepSeek-V3", 671.03, 36.63),
        ("moonshotai/Kimi-K2-Instruct", 1026.41, 31.69),
        ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 31.58, 3.23),
        ("nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-FP8", 120.67, 12.23),
        ("Qwen/Qwen3.5-122B-A10B", 122.56, 9.01),
        ("google/gemma-2-9b", 9.24, 9.24),
    ],
)
def test_parameters_as_the_models_names_say(model, billions, active):
    profile = bundled_profile(model)
    assert profile.parameters / 1e9 == pytest.approx(billions, abs=0.01)
    assert profile.active_parameters / 1e9 == pytest.approx(active, abs=0.01)


@pytest.mark.parametrize(
    ("model", "gib"),
    [
        ("microsoft/phi-4", 27.31),
        ("microsoft/Phi-3-mini-128k-instruct", 7.12),
        ("meta-llama/Llama-3.1-8B-Instruct", 14.96),
        ("google/gemma-3-27b-it", 51.10),
        ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 58.82),
        ("moonshotai/Kimi-K2.5", 554.32),
        ("deepseek-ai/DeepSeek-V4-Pro", 805.34),
        ("zai-org/GLM-5.2-FP8", 703.75),
    ],
)
def test_stored_bytes_as_the_repositories_hold(model, gib):
    """Sizes of all safetensors files of a repository: draft layers are among them."""
    profile = bundled_profile(model)
    matrices = [*profile.embedding, *profile.head, *profile.vision, *profile.iter_matrices()]
    matrices += [m for layer in profile.draft_layers for m in layer.matrices]
    total = sum(
        m.count * m.format.stored_bytes(m.rows, m.columns) if m.format else m.elements * (m.element_bytes or 2)
        for m in matrices
        if m.part is not Part.ABSORBED
    )
    assert total / (1 << 30) == pytest.approx(gib, rel=0.002)


def kinds(profile):
    return [layer.caches[0].kind if layer.caches else None for layer in profile.layers]


def test_sliding_and_full_layers_of_gemma_3():
    profile = parse_config(read("google--gemma-3-27b-it"), model_id="gemma")
    assert kinds(profile).count(CacheKind.SLIDING) == 52
    assert [i for i, kind in enumerate(kinds(profile)) if kind is CacheKind.FULL] == list(range(5, 60, 6))
    assert profile.is_multimodal
    assert profile.tied_embeddings


def test_keys_that_a_config_omits_take_the_class_default_and_are_said():
    profile = parse_config(read("google--gemma-3-27b-it"), model_id="gemma")
    assert profile.vocab_size == 262208
    assert any("vocab_size = 262208" in sentence for sentence in profile.assumptions)


def test_alternating_windows_of_gpt_oss():
    profile = parse_config(read("openai--gpt-oss-20b"), model_id="gpt-oss")
    assert [kinds(profile).count(k) for k in (CacheKind.SLIDING, CacheKind.FULL)] == [12, 12]
    assert profile.layers[0].caches[0].window == 128
    stored = {m.part: m.format for m in profile.layers[0].matrices}
    assert stored[Part.EXPERT].name == "mxfp4"
    assert stored[Part.ATTENTION] is None


def test_states_and_attention_of_a_hybrid():
    profile = parse_config(read("Qwen--Qwen3.5-27B"), model_id="qwen")
    assert [kinds(profile).count(k) for k in (CacheKind.STATE, CacheKind.FULL)] == [48, 16]
    assert profile.has_state
    assert profile.state_heads == (16, 48)


def test_single_blocks_of_nemotron():
    profile = parse_config(read("nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"), model_id="nemotron")
    assert [kinds(profile).count(k) for k in (CacheKind.STATE, CacheKind.FULL, None)] == [23, 6, 23]


def test_chunked_layers_of_llama_4():
    profile = parse_config(read("meta-llama--Llama-4-Scout-17B-16E-Instruct"), model_id="llama")
    assert [kinds(profile).count(k) for k in (CacheKind.CHUNKED, CacheKind.FULL)] == [36, 12]
    assert profile.layers[0].caches[0].window == 8192


def test_latent_attention_has_one_vector_for_all_heads():
    profile = parse_config(read("deepseek-ai--DeepSeek-V3"), model_id="deepseek")
    cache = profile.layers[0].caches[0]
    assert (cache.kind, cache.kv_heads, cache.key_dim) == (CacheKind.LATENT, 1, 576)
    assert (profile.head_dim, profile.value_head_dim) == (192, 128)
    assert profile.layers[2].matrices != profile.layers[3].matrices  # the first three are dense


def test_names_left_out_by_a_quantisation_stay_in_the_models_dtype():
    profile = parse_config(read("moonshotai--Kimi-K2.5"), model_id="kimi")
    stored = {m.name: m.format for m in profile.layers[5].matrices}
    assert stored["mlp.experts.up_proj"].bits == 4
    assert stored["self_attn.o_proj"] is None
    assert stored["mlp.shared_experts.up_proj"] is None


@pytest.mark.parametrize(
    ("word", "name", "bits"),
    [
        ("fp8", "fp8", 8), ("FP8-dynamic", "fp8", 8), ("compressed-tensors w8a8", "int8", 8), ("awq", "int4", 4),
        ("gptq_marlin", "int4", 4), ("W4A16", "int4", 4), ("modelopt_fp4", "nvfp4", 4), ("NVFP4", "nvfp4", 4),
        ("mxfp4", "mxfp4", 4), ("bitsandbytes", "bitsandbytes", 4), ("GPTQ-Int8", "int8", 8),
    ],
)  # fmt: skip
def test_words_for_quantisation(word, name, bits):
    profile = parse_config(read("Qwen--Qwen3-32B"), model_id="qwen", quantization=word)
    stored = profile.layers[0].matrices[0].format
    assert (stored.name, stored.bits) == (name, bits)
    assert all(m.format is None for m in profile.head)


@pytest.mark.parametrize("word", ["none", "bf16", "bfloat16", "fp16"])
def test_words_for_no_quantisation(word):
    profile = parse_config(read("deepseek-ai--DeepSeek-V3"), model_id="deepseek", quantization=word)
    assert profile.weight_formats == ()


def test_a_word_that_names_a_container_takes_its_bits_from_the_id():
    profile = parse_config(read("Qwen--Qwen3-32B"), model_id="x/Qwen3-32B-W4A16", quantization="compressed-tensors")
    assert profile.weight_formats[0].name == "int4"
    assert any("taken from the model's id" in sentence for sentence in profile.assumptions)


def test_another_precisions_quantisation_is_ignored():
    profile = parse_config(read("deepseek-ai--DeepSeek-V3"), model_id="deepseek", own_quantization=False)
    assert profile.weight_formats == ()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "num_hidden_layers"),
        ([], "expected an object"),
        ({"model_type": "llama", "num_hidden_layers": "many"}, "expected a whole number"),
        ({"model_type": "llama", "num_hidden_layers": -3}, "no model has"),
        ({"model_type": "llama", "num_hidden_layers": 4, "hidden_size": 0}, "at least 1"),
    ],
)
def test_a_damaged_config_is_named(config, words):
    with pytest.raises(UnreadableModel, match=words) as caught:
        parse_config(config, model_id="broken")
    assert caught.value.reason is Reason.UNKNOWN_MODEL


def test_an_unknown_word_is_a_reason():
    with pytest.raises(UnreadableModel, match="not known") as caught:
        parse_config(read("Qwen--Qwen3-32B"), model_id="qwen", quantization="superquant")
    assert caught.value.reason is Reason.UNKNOWN_QUANTIZATION


def test_an_unknown_architecture_is_built_from_what_it_states():
    config = read("Qwen--Qwen3-32B", model_type="brand_new", architectures=["BrandNewForCausalLM"])
    profile = parse_config(config, model_id="new")
    assert profile.num_layers == 64
    assert any("brand_new" in sentence for sentence in profile.assumptions)


def test_every_bundled_model_can_be_read():
    assert len(bundled_ids()) >= 135
    for name in bundled_ids():
        assert bundled_profile(name).parameters > 0


def test_a_layer_number_of_the_draft_or_the_tower_is_none_of_the_language_models() -> None:
    """`mtp.layers.0*` leaves out the draft's layer, not the first of the model."""
    ignored = ["lm_head", "mtp.layers.0*", "model.visual.layers.1.mlp", "model.language_model.layers.2.self_attn*"]
    stated = {"quant_method": "modelopt", "quant_algo": "NVFP4", "exclude_modules": ignored}
    config = read("Qwen--Qwen3-32B", quantization_config=stated)
    layers = parse_config(config, model_id="test/names").layers
    stored = {
        index: {m.name for m in layers[index].matrices if m.format is not None and m.name.endswith("_proj")}
        for index in (0, 1, 2)
    }
    assert "self_attn.q_proj" in stored[0]
    assert stored[0] == stored[1]
    assert not any(name.startswith("self_attn") for name in stored[2])


def bare(model_type, architecture, **stated):
    """A config that states next to nothing: the rest is the class default."""
    return {"model_type": model_type, "architectures": [architecture], "torch_dtype": "bfloat16", **stated}


def test_a_window_counts_on_all_layers_unless_the_class_has_a_pattern():
    mistral = parse_config(bare("mistral", "MistralForCausalLM", sliding_window=4096), model_id="test/window")
    assert {c.kind for layer in mistral.layers for c in layer.caches} == {CacheKind.SLIDING}
    cohere = parse_config(bare("cohere2", "Cohere2ForCausalLM", sliding_window=4096), model_id="test/window")
    kinds = [layer.caches[0].kind for layer in cohere.layers]
    assert kinds.count(CacheKind.FULL) == len(kinds) // 4
    strange = parse_config(
        {**read("Qwen--Qwen3-32B"), "model_type": "nobody-knows", "sliding_window": 4096, "use_sliding_window": True},
        model_id="test/window",
    )
    assert {c.kind for layer in strange.layers for c in layer.caches} == {CacheKind.FULL}
    assert any("sliding_window 4096 is not counted" in line for line in strange.assumptions)


def test_latent_attention_that_the_engine_unfolds_caches_every_head():
    minicpm = parse_config(bare("minicpm3", "MiniCPM3ForCausalLM", kv_lora_rank=256, q_lora_rank=768,
                                qk_nope_head_dim=64, qk_rope_head_dim=32, hidden_size=2560, num_attention_heads=40,
                                num_hidden_layers=62, vocab_size=73448, intermediate_size=6400),
                           model_id="test/unfolded")  # fmt: skip
    assert not minicpm.is_latent_attention
    (cache,) = minicpm.layers[0].caches
    assert (cache.kind, cache.kv_heads, cache.key_dim, cache.value_dim) == (CacheKind.FULL, 40, 96, 96)


def test_a_model_without_attention_keeps_states_only():
    mamba = parse_config(bare("mamba2", "Mamba2ForCausalLM"), model_id="test/mamba")
    assert {c.kind for layer in mamba.layers for c in layer.caches} == {CacheKind.STATE}
    assert mamba.parameters / 1e9 == pytest.approx(7.29, abs=0.01)


def test_towers_that_hear_count():
    tower = {"d_model": 1280, "encoder_layers": 32, "encoder_ffn_dim": 5120, "num_mel_bins": 128}
    plain = parse_config(read("Qwen--Qwen3-32B"), model_id="test/deaf")
    hearing = parse_config({"model_type": "x", "text_config": read("Qwen--Qwen3-32B"), "audio_config": tower},
                           model_id="test/hearing")  # fmt: skip
    assert (hearing.parameters - plain.parameters) / 1e6 == pytest.approx(669, abs=5)


def test_without_a_list_of_names_only_the_experts_of_a_mixture_are_taken_as_nvfp4():
    stated = {"quant_method": "modelopt", "quant_algo": "NVFP4"}
    mixture = read("nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", quantization_config=stated)
    profile = parse_config(mixture, model_id="test/no-list")
    quantized = {m.part for m in profile.iter_matrices() if m.format}
    assert quantized == {Part.EXPERT}
    assert any("list of unquantised modules is missing" in line for line in profile.assumptions)
    listed = {**mixture, "quantization_config": {**stated, "exclude_modules": ["lm_head"]}}
    assert Part.ATTENTION in {m.part for m in parse_config(listed, model_id="test/list").iter_matrices() if m.format}


def test_a_draft_layer_that_the_list_leaves_out_stays_in_16_bits():
    stated = {"quant_method": "modelopt", "quant_algo": "NVFP4", "exclude_modules": ["mtp*"]}
    config = read("Qwen--Qwen3-32B", quantization_config=stated, num_nextn_predict_layers=1)
    profile = parse_config(config, model_id="test/draft")
    assert not any(m.format for m in profile.draft_layers[0].matrices)
    assert all(m.format for m in profile.layers[0].matrices if m.name.endswith("_proj"))
