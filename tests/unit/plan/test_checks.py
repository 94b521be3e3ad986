"""Each rule of the engines by the case that breaks it; all rules run, and need always exceeds have."""

import pytest

from shardwright.api.reasons import Reason
from shardwright.api.spec import EngineName
from shardwright.plan.checks import Context, refusals
from shardwright.plan.enumerate import layouts
from shardwright.plan.memory import EngineArguments, forecast
from shardwright.plan.types import Layout, LayoutPins
from support.planning import dense, gpu, mixture

R = Reason
FP8_BLOCKS = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}


def reasons(
    layout: Layout, model=None, product="H100-SXM", engine=EngineName.VLLM, version="0.32.0", **options: str
) -> set[Reason]:
    pairs = tuple(sorted((name.replace("_", "-"), value) for name, value in options.items()))
    found = refusals(layout, Context(model or dense(), gpu(product), engine, pairs, version))
    assert all(refusal.need > refusal.have for refusal in found)
    return {refusal.reason for refusal in found}


def test_what_divides_is_possible():
    for layout in (Layout(1), Layout(2), Layout(8), Layout(4, 4), Layout(1, 32)):
        assert reasons(layout) == set()


def test_tensor_three_breaks_every_rule_of_division_at_once():
    broken = {R.HEADS_NOT_DIVISIBLE, R.KV_HEADS_NOT_DIVISIBLE, R.VOCABULARY_NOT_DIVISIBLE, R.LINEAR_NOT_DIVISIBLE}
    assert reasons(Layout(3), dense(vocabulary=128320)) >= broken


def test_kv_heads_are_copied_where_ranks_are_a_multiple_of_them():
    assert reasons(Layout(8), dense(kv_heads=4)) == set()
    assert R.KV_HEADS_NOT_DIVISIBLE in reasons(Layout(8), dense(heads=48, kv_heads=6, hidden=6144))


def test_more_stages_than_layers():
    assert reasons(Layout(1, 33)) == {R.TOO_FEW_LAYERS}


def test_experts_where_there_are_none():
    assert reasons(Layout(2, expert=True)) == {R.NOT_A_MIXTURE_OF_EXPERTS}
    assert reasons(Layout(1, data=2)) == {R.NOT_A_MIXTURE_OF_EXPERTS}


def test_more_ranks_than_experts():
    assert R.TOO_FEW_EXPERTS in reasons(Layout(4, data=4, expert=True), mixture(experts=8))


def test_experts_that_are_not_spread_are_cut_by_tensor_and_data():
    blocks = mixture(expert_inner=1536, quantization="fp8-block")
    assert R.QUANTIZATION_BLOCK_NOT_DIVISIBLE in reasons(Layout(8), blocks, version="0.29.0")
    assert R.QUANTIZATION_BLOCK_NOT_DIVISIBLE in reasons(Layout(1, data=8), blocks, version="0.29.0")
    assert R.QUANTIZATION_BLOCK_NOT_DIVISIBLE not in reasons(Layout(8, expert=True), blocks, version="0.29.0")


def test_newer_releases_cut_experts_down_to_blocks_of_32():
    blocks = mixture(expert_inner=1536, quantization="fp8-block")
    for layout in (Layout(8), Layout(1, data=8), Layout(4, data=4)):  # 192 columns a rank, 192, 96
        assert reasons(layout, blocks, version="0.30.0") == set()
    assert R.QUANTIZATION_BLOCK_NOT_DIVISIBLE in reasons(Layout(4, data=8), blocks, version="0.30.0")  # 48
    assert R.QUANTIZATION_BLOCK_NOT_DIVISIBLE in reasons(Layout(1, data=8), blocks, engine=EngineName.TRTLLM)
    assert R.QUANTIZATION_BLOCK_NOT_DIVISIBLE in reasons(Layout(8), dense(inner=1536, quantization="fp8-block"))


@pytest.mark.parametrize(
    "model",
    [dense(), dense(heads=40, kv_heads=10), mixture(quantization="fp8-block"), dense(inner=1376, quantization="awq")],
    ids=["dense", "ten-kv-heads", "blocks", "tiles"],
)
def test_checks_and_the_forecast_refuse_the_same_cuts(model):
    product = gpu("H100-SXM")
    for layout in layouts(8, 4, LayoutPins(), mixture_of_experts=model.is_mixture_of_experts):
        refused = {r.reason for r in refusals(layout, Context(model, product, EngineName.VLLM, (), "0.32.0"))}
        arguments = EngineArguments(max_model_len=1024)
        memory = forecast(model, layout, product, product.memory_bytes, EngineName.VLLM, "0.32.0", arguments)
        assert refused == set(memory.reasons) - {R.WEIGHTS_DO_NOT_FIT, R.KV_CACHE_TOO_SMALL, R.CONTEXT_TOO_LONG}, layout


def test_int4_shards_fill_whole_tiles():
    assert R.QUANTIZATION_BLOCK_NOT_DIVISIBLE in reasons(Layout(8), dense(inner=8 * 1376, quantization="awq"))
    assert R.QUANTIZATION_BLOCK_NOT_DIVISIBLE not in reasons(Layout(4), dense(quantization="awq"))


def test_classes_that_cannot_be_cut_into_stages():
    model = dense(architectures=["Gemma3nForCausalLM"])
    assert R.PIPELINE_NOT_SUPPORTED in reasons(Layout(1, 2), model)
    assert R.PIPELINE_NOT_SUPPORTED not in reasons(Layout(2), model)


GENERATIONS = [
    ("bfloat16 on Volta", "V100-SXM2-32GB", {}, {R.DTYPE_NEEDS_NEWER_GPU}),
    ("float16 on Volta, as the user asks", "V100-SXM2-32GB", {"dtype": "half"}, set()),
    ("an FP8 KV cache on Ampere", "A100-SXM4-80GB", {"kv_cache_dtype": "fp8"}, {R.DTYPE_NEEDS_NEWER_GPU}),
    ("an FP8 KV cache on Ada", "L40S", {"kv_cache_dtype": "fp8"}, set()),
    ("an NVFP4 KV cache on Hopper", "H100-SXM", {"kv_cache_dtype": "nvfp4"}, {R.DTYPE_NEEDS_NEWER_GPU}),
]


@pytest.mark.parametrize(("name", "product", "options", "expected"), GENERATIONS)
def test_formats_need_a_generation(name, product, options, expected):
    assert reasons(Layout(1), product=product, **options) == expected


def test_trtllm_is_for_nvidia_only():
    assert R.ENGINE_DOES_NOT_SUPPORT_VENDOR in reasons(Layout(1), product="MI300X", engine=EngineName.TRTLLM)
    assert reasons(Layout(1), product="MI300X") == set()


def test_trtllm_attention_data_parallelism_leaves_tensor_at_one():
    assert R.NOT_SUPPORTED_YET in reasons(Layout(2, data=2), mixture(), engine=EngineName.TRTLLM)
    assert reasons(Layout(1, data=4), mixture(), engine=EngineName.TRTLLM) == set()


def test_trtllm_may_span_pods():
    assert reasons(Layout(8, 2, nodes_per_replica=2), engine=EngineName.TRTLLM) == set()
    assert reasons(Layout(1, data=16, nodes_per_replica=2), mixture(), engine=EngineName.TRTLLM) == set()
