"""Fields that are fine by themselves and would not reach the engine are refused, all at once."""

import pytest

from golden.cases import CASES, spec_of
from shardwright.api.parse import parse_spec
from shardwright.api.spec import InferenceDeploymentSpec
from shardwright.engines.support import unsupported

TRTLLM = {"name": "trtllm"}
REFUSED = [
    ({"model": {"id": "a/b", "servedName": "c"}, "engine": TRTLLM}, ["spec.model.servedName"]),
    ({"model": {"id": "a/b", "quantization": "fp8"}, "engine": TRTLLM}, ["spec.model.quantization"]),
    (
        {"objective": {"contextLength": 4096}, "engine": {"args": {"max-model-len": "8k"}}},
        ["spec.engine.args.max-model-len"],
    ),
    (
        {"objective": {"contextLength": 4096}, "engine": TRTLLM | {"args": {"max-seq-len": "8192"}}},
        ["spec.engine.args.max-seq-len"],
    ),
    (
        {"engine": TRTLLM | {"args": {"kv_cache_config": '{"free_gpu_memory_fraction": 0.5, "max_tokens": 9}'}}},
        ["spec.engine.args.kv_cache_config", "spec.engine.args.kv_cache_config"],
    ),
    (
        {"engine": TRTLLM | {"args": {"kv_cache_config": "5"}}},
        ["spec.engine.args.kv_cache_config"],
    ),
    ({"engine": TRTLLM | {"args": {"chat_template": "/my templates/a.jinja"}}}, ["spec.engine.args.chat_template"]),
    ({"engine": TRTLLM | {"args": {"chat_template": "a b"}}, "layout": {"nodesPerReplica": 1}}, []),
    ({"engine": TRTLLM | {"args": {"kv_cache_config": '{"enable_block_reuse": false}'}}}, []),
    (
        {
            "engine": TRTLLM,
            "model": {"id": "a/b", "source": {"persistentVolumeClaim": {"claimName": "models", "path": "my model"}}},
        },
        ["spec.model"],
    ),
    (
        {"engine": {"env": [{"name": "VLLM_PORT", "value": "1"}, {"name": "CUDA_VISIBLE_DEVICES", "value": "0"}]}},
        ["spec.engine.env[0]", "spec.engine.env[1]"],
    ),
    ({"podTemplate": {"env": [{"name": "SHARDWRIGHT_GROUP", "value": "x"}]}}, ["spec.podTemplate.env[0]"]),
    (
        {"podTemplate": {"volumes": [{"name": "a"}, {"name": "shm"}], "volumeMounts": [{"mountPath": "/dev/shm/"}]}},
        ["spec.podTemplate.volumes[1].name", "spec.podTemplate.volumeMounts[0].mountPath"],
    ),
    (
        {"podTemplate": {"resources": {"limits": {"nvidia.com/gpu": 8, "rdma/hca": 1}}}},
        ['spec.podTemplate.resources.limits["nvidia.com/gpu"]'],
    ),
]


@pytest.mark.parametrize(("raw", "fields"), REFUSED, ids=lambda value: str(value)[:60])
def test_names_each_field(raw, fields):
    spec = parse_spec({"model": {"id": "a/b"}} | raw)
    assert isinstance(spec, InferenceDeploymentSpec), spec
    assert [problem.field for problem in unsupported(spec)] == fields


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden_cases_are_supported(case):
    assert unsupported(spec_of(case)) == []
