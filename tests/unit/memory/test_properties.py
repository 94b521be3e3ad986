"""What must hold of every forecast: it never raises, adds up, and more memory never turns fits into refused."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shardwright.api.spec import EngineName
from shardwright.catalog.load import gpu_catalog
from shardwright.models.bundled import bundled_profile
from shardwright.plan.memory import EngineArguments, forecast
from shardwright.plan.types import Layout

GIB = 1 << 30
MODELS = st.sampled_from(
    ["Qwen/Qwen3-8B", "Qwen/Qwen3-30B-A3B-FP8", "deepseek-ai/DeepSeek-V3", "openai/gpt-oss-20b", "Qwen/Qwen3.5-27B",
     "google/gemma-3-27b-it", "meta-llama/Llama-4-Scout-17B-16E-Instruct", "deepseek-ai/DeepSeek-V4-Flash",
     "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "zai-org/GLM-5.2-FP8", "meta-llama/Llama-3.2-11B-Vision-Instruct"]
)  # fmt: skip
SIZES = st.sampled_from([1, 2, 3, 4, 8, 16])
LAYOUTS = st.builds(Layout, SIZES, SIZES, SIZES, st.booleans())
PRODUCTS = st.sampled_from(gpu_catalog().products)
VERSIONS = st.sampled_from(["0.8.5", "0.10.1", "0.11.0", "0.19.0", "0.25.1", "0.32.0", "0.99", "nightly", None])
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "max-model-len": st.integers(1, 1 << 21) | st.sampled_from([-1, "auto", "32k"]),
        "gpu-memory-utilization": st.floats(0.01, 1),
        "max-num-seqs": st.integers(1, 4096),
        "max-num-batched-tokens": st.integers(1, 1 << 17),
        "kv-cache-dtype": st.sampled_from(["auto", "fp8", "nvfp4", "int8_per_token_head", "odd"]),
        "enable-prefix-caching": st.booleans(),
        "block-size": st.sampled_from([1, 16, 64, 128]),
        "speculative-config": st.sampled_from(['{"method":"mtp","num_speculative_tokens":2}', "MTP 3", "{", ""]),
    },
)
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def ask(case, memory_bytes):
    model, layout, product, version, options, engine = case
    arguments = EngineArguments.from_options(options.items())
    return forecast(bundled_profile(model), layout, product, memory_bytes, engine, version, arguments)


CASES = st.tuples(MODELS, LAYOUTS, PRODUCTS, VERSIONS, OPTIONS, st.sampled_from(EngineName))


@quick
@given(CASES, st.integers(0, 400 * GIB))
def test_it_never_raises_and_adds_up(case, memory_bytes):
    found = ask(case, memory_bytes)
    assert len(found.ranks) == case[1].tensor * case[1].pipeline
    assert found.fits == (not found.reasons)
    assert all(rank.weights_bytes > 0 and rank.activation_bytes > 0 for rank in found.ranks)
    assert found.kv_cache_tokens >= 0
    if found.fits:
        assert min(rank.kv_cache_bytes for rank in found.ranks) > 0


@quick
@given(CASES, st.integers(GIB, 300 * GIB), st.integers(1, 200 * GIB))
def test_more_memory_never_turns_fits_into_refused(case, memory_bytes, more):
    model, layout, product, version, options, engine = case
    options = {"max-num-seqs": 64, "max-num-batched-tokens": 2048, **options}  # the defaults grow with the device
    case = (model, layout, product, version, options, engine)
    small, large = ask(case, memory_bytes), ask(case, memory_bytes + more)
    assert not (small.fits and not large.fits), (small.reasons, large.reasons)


@quick
@given(MODELS, PRODUCTS, SIZES, SIZES)
def test_a_wider_cut_never_needs_more_weights_per_rank(model, product, tensor, factor):
    def largest(size):
        found = ask((model, Layout(size), product, "0.32.0", {}, EngineName.VLLM), 80 * GIB)
        return max(rank.weights_bytes for rank in found.ranks)

    assert largest(tensor * factor) <= largest(tensor) * 1.01


@given(st.dictionaries(st.text(max_size=12), st.none() | st.integers() | st.floats() | st.text(max_size=12)))
def test_options_of_any_kind_are_read(options):
    EngineArguments.from_options(options.items())
