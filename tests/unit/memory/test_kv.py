"""Tokens of a given KV memory, against logs whose arithmetic can be followed by hand."""

import pytest

from shardwright.api.reasons import Reason
from shardwright.api.spec import EngineName
from shardwright.catalog.load import gpu_catalog
from shardwright.models.bundled import bundled_profile
from shardwright.models.parse import parse_config
from shardwright.plan.memory import EngineArguments, forecast
from shardwright.plan.types import Layout

GIB = 1 << 30


def ask(model, layout=None, gpu="H100", version="0.32.0", memory_bytes=None, **options):
    product = gpu_catalog().find(gpu).product
    arguments = EngineArguments.from_options(options.items())
    memory = memory_bytes or product.memory_bytes
    return forecast(bundled_profile(model), layout or Layout(), product, memory, EngineName.VLLM, version, arguments)


@pytest.mark.parametrize(
    ("model", "tensor", "version", "gib", "tokens", "options"),
    [
        # 32 layers x 8 heads x (128 + 128) x 2 bytes = 131,072 a token
        ("meta-llama/Llama-3.1-8B-Instruct", 1, "0.19.0", 58.11, 476_016, {"max_model_len": 8192}),
        # one of four KV heads on each rank
        ("Qwen/Qwen3-30B-A3B", 4, "0.19.0", 56.17, 2_454_064, {"max_model_len": 8192}),
        # fp8 halves it
        ("Qwen/Qwen2.5-7B", 1, "0.19.0", 58.53, 2_192_000, {"max_model_len": 8192, "kv_cache_dtype": "fp8"}),
        # two groups of twelve layers share the blocks
        ("openai/gpt-oss-20b", 1, "0.19.0", 58.47, 1_277_184, {"max_model_len": 8192}),
        # seven groups: one full, six of sliding layers; 62 layers in tens
        ("google/gemma-3-27b-it", 1, "0.19.0", 19.53, 36_560, {"max_model_len": 8192}),
        # a block of 784 tokens is as large as a state; one full group, three of states
        ("Qwen/Qwen3.5-27B", 4, "0.19.0", 7.47, 122_304, {"max_model_len": 32768}),
        # one latent vector of 576 for all ranks; eight-fold by decode context parallelism
        ("moonshotai/Kimi-K2-Instruct", 8, "0.19.0", 46.8, 715_072, {"max_model_len": 131072}),
        ("moonshotai/Kimi-K2-Instruct", 8, "0.19.0", 46.8, 5_721_088, {"decode_context_parallel_size": 8}),
        # 656 bytes of latent and 132 of index keys on each of 78 layers
        ("zai-org/GLM-5.1", 8, "0.20.0", 19.55, 341_504, {"max_model_len": 202752, "kv_cache_dtype": "fp8"}),
    ],
)
def test_tokens_as_logged(model, tensor, version, gib, tokens, options):
    given = {"kv_cache_memory_bytes": round(gib * GIB), **options}
    found = ask(model, Layout(tensor), version=version, **given).kv_cache_tokens
    assert found == pytest.approx(tokens, rel=0.002)


def test_one_request_of_a_compressed_model_needs_what_the_engine_said():
    """DeepSeek V4: 23.32 GiB for a million tokens with two batches of 16,384 under way."""
    options = {"max_model_len": 1 << 20, "max_num_batched_tokens": 16384}
    fits = ask("deepseek-ai/DeepSeek-V4-Pro", Layout(8), kv_cache_memory_bytes=round(23.33 * GIB), **options)
    short = ask("deepseek-ai/DeepSeek-V4-Pro", Layout(8), kv_cache_memory_bytes=round(23.30 * GIB), **options)
    assert Reason.CONTEXT_TOO_LONG not in fits.reasons
    assert Reason.CONTEXT_TOO_LONG in short.reasons


def test_latent_caches_are_not_divided_by_tensor_parallelism():
    one, eight = (ask("deepseek-ai/DeepSeek-V3", Layout(tp), kv_cache_memory_bytes=40 * GIB) for tp in (1, 8))
    assert one.kv_cache_tokens == eight.kv_cache_tokens


def test_more_tensor_than_kv_heads_saves_nothing():
    four, eight = (ask("Qwen/Qwen3-30B-A3B", Layout(tp), kv_cache_memory_bytes=40 * GIB) for tp in (4, 8))
    assert four.kv_cache_tokens == eight.kv_cache_tokens


def test_the_fullest_pipeline_stage_decides():
    """62 layers over 4 are 15, 16, 16, 15."""
    whole = ask("MiniMaxAI/MiniMax-M2.7", Layout(2), kv_cache_memory_bytes=16 * GIB)
    staged = ask("MiniMaxAI/MiniMax-M2.7", Layout(2, 4), kv_cache_memory_bytes=16 * GIB)
    assert staged.kv_cache_tokens == pytest.approx(whole.kv_cache_tokens * 62 / 16, rel=0.001)


def test_the_largest_context_that_fits_is_found():
    found = ask("Qwen/Qwen3-32B", gpu="H100", max_model_len="auto")
    assert 1 < found.context_length < 40960
    assert found.fits
    again = ask("Qwen/Qwen3-32B", gpu="H100", max_model_len=found.context_length + 16)
    assert Reason.CONTEXT_TOO_LONG in again.reasons


def test_states_must_suffice_for_all_sequences():
    few = ask("Qwen/Qwen3.5-27B", Layout(1), max_num_seqs=1024, kv_cache_memory_bytes=20 * GIB)
    assert Reason.STATE_SLOTS_TOO_FEW in few.reasons
    eager = ask("Qwen/Qwen3.5-27B", Layout(1), max_num_seqs=1024, kv_cache_memory_bytes=20 * GIB, enforce_eager=True)
    assert Reason.STATE_SLOTS_TOO_FEW not in eager.reasons


def test_kv_space_of_an_engine_on_cpus():
    """What vLLM on CPUs logged for a random Llama at TP 2 with 1 GiB of KV space: 1,048,576 tokens."""
    config = {
        "model_type": "llama", "num_hidden_layers": 4, "hidden_size": 128, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 256, "vocab_size": 512, "max_position_embeddings": 512,
    }  # fmt: skip
    profile = parse_config(config, model_id="tiny", dtype="float32")
    arguments = EngineArguments.from_options({"kv_cache_memory_bytes": GIB, "max_model_len": 512}.items())
    product = gpu_catalog().find("H100").product
    found = forecast(profile, Layout(2), product, 4 * GIB, EngineName.VLLM, "0.32.0", arguments)
    assert found.kv_cache_tokens == 1_048_576
