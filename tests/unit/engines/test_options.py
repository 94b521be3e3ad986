"""The user's `engine.args`: each reaches the command line or is refused with what to do."""

import pytest

from shardwright.api.reasons import Reason
from shardwright.api.spec import EngineName, EngineSpec
from shardwright.catalog.engine_options import engine_options
from shardwright.engines.options import arguments, refusals
from shardwright.plan.request import engine_options as engine_options_for_planning

VLLM = engine_options(EngineName.VLLM, "0.32.0")
TRTLLM = engine_options(EngineName.TRTLLM, "1.2.1")

WRITTEN = [
    ({"max-num-seqs": "64"}, ["--max-num-seqs=64"]),
    ({"max_num_seqs": "64"}, ["--max-num-seqs=64"]),
    ({"enable-prefix-caching": "true"}, ["--enable-prefix-caching"]),
    ({"enable-prefix-caching": "False"}, ["--no-enable-prefix-caching"]),
    ({"disable-log-stats": "false"}, []),
    ({"dcp": "2"}, ["--decode-context-parallel-size=2"]),
    ({"max-model-len": "32k"}, ["--max-model-len=32k"]),
    ({"max-model-len": "auto"}, ["--max-model-len=auto"]),
    ({"hf-overrides": '{"a": 1}'}, ['--hf-overrides={"a": 1}']),
    ({"lora-modules": "a=/a b=/b"}, ["--lora-modules", "a=/a", "b=/b"]),
    ({"middleware": '["x.y", "z"]'}, ["--middleware", "x.y", "z"]),
    ({"cudagraph-capture-sizes": "[1, 2, 4]"}, ["--cudagraph-capture-sizes", "1", "2", "4"]),
    ({"kv-cache-dtype": "fp8", "enforce-eager": "true"}, ["--enforce-eager", "--kv-cache-dtype=fp8"]),
]


@pytest.mark.parametrize(("args", "words"), WRITTEN, ids=str)
def test_written_as_vllm_reads_it(args, words):
    assert arguments(args, VLLM) == words


REFUSED = [
    ({"tensor-parallel-size": "4"}, "spec.layout"),
    ({"tp": "4"}, "spec.layout"),
    ({"tensor_parallel_size": "4"}, "spec.layout"),
    ({"ep": "true"}, "spec.layout"),
    ({"data-parallel-rank": "1"}, "the operator"),
    ({"port": "9000"}, "the operator"),
    ({"quantization": "fp8"}, "spec.model.quantization"),
    ({"q": "fp8"}, "spec.model.quantization"),
    ({"hf-token": "secret"}, "tokenSecretRef"),
    ({"max-num-seq": "4"}, "did you mean max-num-seqs?"),
    ({"--max-num-seqs": "4"}, "without dashes"),
    ({"no-enable-prefix-caching": "true"}, 'enable-prefix-caching: "false"'),
    ({"max-num-seqs": "many"}, "a whole number"),
    ({"max-num-seqs": ""}, "a whole number"),
    ({"gpu-memory-utilization": "90%"}, "a number"),
    ({"max-model-len": "long"}, "32k"),
    ({"compilation-config": "{"}, "JSON"),
    ({"enforce-eager": "yes"}, '"true" or "false"'),
    ({"kv-cache-dtype": "fp9"}, "one of"),
    ({"cudagraph-capture-sizes": "[1, two]"}, "a whole number"),
    ({"nonsense": "1"}, "has no option nonsense"),
]


@pytest.mark.parametrize(("args", "says"), REFUSED, ids=str)
def test_refused_with_what_to_do(args, says):
    (problem,) = refusals(args, VLLM)
    assert problem.field.startswith("spec.engine.args")
    assert problem.reason is Reason.UNSUPPORTED_ARGUMENT
    assert says in problem.message


def test_two_spellings_of_one_option_are_one_too_many():
    problems = list(refusals({"max-num-seqs": "4", "max_num_seqs": "5"}, VLLM))
    assert any("are one option" in problem.message for problem in problems)


def test_every_accepted_option_is_written():
    """Whatever the table knows and does not refuse comes out, in vLLM's own spelling."""
    samples = {"integer": "1", "number": "0.5", "tokens": "1k", "tokens-or-auto": "auto", "json": "{}"}
    for option in {option.name: option for option in VLLM.options.values()}.values():
        value = option.choices[0] if option.choices else samples.get(option.type, "text")
        value = "true" if option.takes in ("switch", "flag") else value
        if not list(refusals({option.name: value}, VLLM)):
            assert any(word.startswith(f"--{option.name}") for word in arguments({option.name: value}, VLLM)), option


def test_trtllm_writes_underscores_and_leaves_file_keys_out():
    args = {"max-batch-size": "8", "enable_chunked_prefill": "true", "kv_cache_config": "{}"}
    assert not list(refusals(args, TRTLLM))
    assert arguments(args, TRTLLM) == ["--enable_chunked_prefill", "--max_batch_size=8"]


@pytest.mark.parametrize("name", ["tp_size", "enable_attention_dp", "gpus_per_node", "host", "config", "ep-size"])
def test_trtllm_refuses_what_is_the_operators(name):
    (problem,) = refusals({name: "1"}, TRTLLM)
    assert "is not set here" in problem.message


@pytest.mark.parametrize(
    ("version", "assumed"), [("0.32.0", False), ("0.33.1", False), ("0.34.0", True), ("0.20.1", True)]
)
def test_versions_that_were_not_read_are_said_to_be_assumed(version, assumed):
    assert bool(engine_options(EngineName.VLLM, version).assumption) == assumed


@pytest.mark.parametrize(
    ("engine", "args", "seen"),
    [
        ("vllm", {"dcp": "2"}, ("decode-context-parallel-size", "2")),
        ("vllm", {"device_memory_utilization": "0.5"}, ("gpu-memory-utilization", "0.5")),
        ("trtllm", {"free_gpu_memory_fraction": "0.5"}, ("kv-cache-free-gpu-memory-fraction", "0.5")),
        ("vllm", {"max_num_seqs": "8"}, ("max-num-seqs", "8")),
    ],
)
def test_the_forecast_sees_an_option_under_any_of_its_spellings(engine, args, seen):
    assert engine_options_for_planning(EngineSpec(name=engine, args=args)) == (seen,)
