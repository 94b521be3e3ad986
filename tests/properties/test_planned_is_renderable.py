"""Whatever cut the planner may choose, the engine's room can render: the two agree on what engines can form."""

import pytest

from golden.cases import Case, objects_of, spec_of
from shardwright.api.spec import EngineName
from shardwright.catalog.load import gpu_catalog
from shardwright.engines.context import UnrenderableError
from shardwright.engines.support import unsupported
from shardwright.models.parse import parse_config
from shardwright.plan.checks import Context, refusals
from shardwright.plan.enumerate import layouts
from shardwright.plan.types import Layout, LayoutPins

DENSE = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "hidden_size": 8192,
    "num_hidden_layers": 64,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 28672,
    "vocab_size": 151936,
    "max_position_embeddings": 131072,
    "torch_dtype": "bfloat16",
}
EXPERTS = DENSE | {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 1536,
}


@pytest.mark.parametrize("engine", list(EngineName))
@pytest.mark.parametrize("config", [DENSE, EXPERTS], ids=["dense", "experts"])
def test_every_cut_that_passes_the_checks_is_rendered(engine, config):
    profile = parse_config(config, model_id="a/b")
    match = gpu_catalog().find("NVIDIA-H100-80GB-HBM3")
    assert match
    context = Context(profile, match.product, engine)
    cuts = layouts(8, 4, LayoutPins(), mixture_of_experts=profile.is_mixture_of_experts)
    possible = [cut for cut in cuts if not refusals(cut, context)]
    assert len(possible) > 5
    spec = {"model": {"id": "a/b"}, "engine": {"name": engine.value}}
    for cut in possible:
        objects = objects_of(Case("x", spec, cut, experts=profile.num_experts))
        assert gpus(objects) == cut.gpus_per_replica, cut


def gpus(objects: list[dict]) -> int:
    """What the replica's pods ask for together."""
    (found,) = [document["spec"] for document in objects if document["kind"] == "StatefulSet"]
    limits = found["template"]["spec"]["containers"][0]["resources"]["limits"]
    return int(found["replicas"]) * int(limits["nvidia.com/gpu"])


def test_the_cuts_include_several_pods():
    assert any(cut.nodes_per_replica > 1 for cut in layouts(8, 4, LayoutPins(), mixture_of_experts=False))
    assert Layout(8, 2, 1, False, 2) in layouts(8, 4, LayoutPins(), mixture_of_experts=False)


ARGUMENTS = [
    {},
    {"max_batch_size": "64"},
    {"chat_template": "/my templates/a.jinja"},
    {"media_io_kwargs": '{"video": {"fps": 2}}'},
    {"kv_cache_config": '{"enable_block_reuse": false}'},
    {"reasoning_parser": "a[b]"},
]


@pytest.mark.parametrize("args", ARGUMENTS, ids=str)
def test_whatever_is_accepted_is_rendered_over_pods_too(args):
    """MPI's launcher breaks some words; a spec that has them is refused before anything is planned."""
    raw = {"model": {"id": "a/b"}, "engine": {"name": "trtllm", "args": args}}
    case = Case("x", raw, Layout(tensor=8, pipeline=2, nodes_per_replica=2))
    accepted = not unsupported(spec_of(case))
    try:
        rendered = bool(objects_of(case))
    except UnrenderableError:
        rendered = False
    assert accepted == rendered
