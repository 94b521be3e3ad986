"""Each rule of the engines by the case that breaks it; all rules run, and need always exceeds have."""

import pytest

from shardwright.api.reasons import Reason
from shardwright.api.spec import EngineName
from shardwright.plan.checks import Context, refusals
from shardwright.plan.types import Layout
from support.planning import dense, gpu, mixture

R = Reason
FP8_BLOCKS = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}


def reasons(layout: Layout, model=None, product="H100-SXM", engine=EngineName.VLLM, **options: str) -> set[Reason]:
    pairs = tuple(sorted((name.replace("_", "-"), value) for name, value in options.items()))
    found = refusals(layout, Context(model or dense(), gpu(product), engine, pairs))
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
    assert R.QUANTIZATION_BLOCK_NOT_DIVISIBLE in reasons(Layout(8), blocks)
    assert R.QUANTIZATION_BLOCK_NOT_DIVISIBLE in reasons(Layout(1, data=8), blocks)
    assert R.QUANTIZATION_BLOCK_NOT_DIVISIBLE not in reasons(Layout(8, expert=True), blocks)


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
