"""Layouts an engine cannot form are refused when the layout is known; quantisation words become options or refusals."""

from dataclasses import replace

import pytest

from golden.cases import CASES, Case, objects_of
from golden.commands import command_lines
from shardwright.api.reasons import Reason
from shardwright.engines.context import UnrenderableError
from shardwright.plan.types import Layout

DENSE = {"model": {"id": "a/b"}}
TRTLLM = DENSE | {"engine": {"name": "trtllm"}}


@pytest.mark.parametrize(
    ("spec", "layout", "experts", "reason"),
    [
        (DENSE, Layout(data=2), 0, Reason.NOT_A_MIXTURE_OF_EXPERTS),
        (DENSE, Layout(tensor=2, expert=True), 0, Reason.NOT_A_MIXTURE_OF_EXPERTS),
        (DENSE, Layout(tensor=2, data=3, nodes_per_replica=2), 8, Reason.MULTI_NODE_NOT_SUPPORTED),
        (DENSE, Layout(tensor=3, nodes_per_replica=2), 0, Reason.MULTI_NODE_NOT_SUPPORTED),
        (
            TRTLLM | {"engine": TRTLLM["engine"] | {"args": {"chat_template": "a b"}}},
            Layout(tensor=2, nodes_per_replica=2),
            0,
            Reason.UNSUPPORTED_ARGUMENT,
        ),
        (TRTLLM, Layout(tensor=2, data=2), 8, Reason.NOT_SUPPORTED_YET),
        (TRTLLM, Layout(data=2), 0, Reason.NOT_A_MIXTURE_OF_EXPERTS),
    ],
    ids=str,
)
def test_layouts_that_cannot_be_formed(spec, layout, experts, reason):
    with pytest.raises(UnrenderableError) as raised:
        objects_of(Case("x", spec, layout, experts=experts))
    assert raised.value.reason is reason


def test_trtllm_needs_nvidia():
    with pytest.raises(UnrenderableError) as raised:
        objects_of(Case("x", TRTLLM, Layout(), "mi300x-8"))
    assert raised.value.reason is Reason.ENGINE_DOES_NOT_SUPPORT_VENDOR


@pytest.mark.parametrize(
    ("wanted", "checkpoint", "words"),
    [
        (None, None, []),
        (None, "fp8", []),
        ("fp8", None, ["--quantization=fp8"]),
        ("FP8", None, ["--quantization=fp8"]),
        ("mxfp8", None, ["--quantization=mxfp8"]),
        ("bf16", None, ["--dtype=bfloat16"]),
        ("fp16", None, ["--dtype=float16"]),
        ("none", None, []),
    ],
)
def test_quantisation_words(wanted, checkpoint, words):
    model = {"id": "a/b"} | ({"quantization": wanted} if wanted else {})
    (line,) = command_lines(Case("x", {"model": model}, Layout(), checkpoint_quantization=checkpoint))
    assert [word for word in line if word.startswith(("--quantization", "--dtype"))] == words


@pytest.mark.parametrize(("wanted", "checkpoint"), [("awq", None), ("int4", "fp8"), ("none", "fp8"), ("w4a16", None)])
def test_quantisation_that_no_engine_can_make(wanted, checkpoint):
    case = Case("x", {"model": {"id": "a/b", "quantization": wanted}}, Layout(), checkpoint_quantization=checkpoint)
    with pytest.raises(UnrenderableError) as raised:
        objects_of(case)
    assert raised.value.reason is Reason.UNKNOWN_QUANTIZATION


def test_a_users_option_replaces_ours_and_is_not_said_twice():
    args = {"max-model-len": "16k", "gpu-memory-utilization": "0.8"}
    (line,) = command_lines(Case("x", DENSE | {"engine": {"args": args}}, Layout()))
    assert [word for word in line if "max-model-len" in word] == ["--max-model-len=16k"]
    assert [word for word in line if "memory-utilization" in word] == ["--gpu-memory-utilization=0.8"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_option_is_said_twice(case):
    for line in command_lines(case):
        names = [word.partition("=")[0] for word in line if word.startswith("--") and word != "--mca"]
        assert len(names) == len(set(names))


def test_drain_fits_into_the_grace():
    case = Case("x", DENSE | {"podTemplate": {"terminationGracePeriodSeconds": 40}}, Layout())
    (line,) = command_lines(case)
    assert "--shutdown-timeout=25" in line
    short = replace(case, spec=DENSE | {"podTemplate": {"terminationGracePeriodSeconds": 3}})
    assert "--shutdown-timeout=0" in command_lines(short)[0]


def test_an_older_version_keeps_its_own_memory_default():
    (line,) = command_lines(Case("x", DENSE | {"engine": {"version": "0.20.0"}}, Layout()))
    assert "--gpu-memory-utilization=0.9" in line


def test_trtllms_fraction_stands_in_one_place():
    args = {"free_gpu_memory_fraction": "0.5"}
    (line,) = command_lines(Case("x", TRTLLM | {"engine": {"name": "trtllm", "args": args}}, Layout()))
    assert [word for word in line if "fraction" in word] == ["--kv_cache_free_gpu_memory_fraction=0.5"]
    args["kv_cache_config"] = "enable_block_reuse: false"
    case = Case("x", TRTLLM | {"engine": {"name": "trtllm", "args": args}}, Layout())
    assert not [word for word in command_lines(case)[0] if "fraction" in word]
    (files,) = [document["data"] for document in objects_of(case) if document["kind"] == "ConfigMap"]
    assert "free_gpu_memory_fraction: 0.5" in files["llm-api-options.yaml"]
