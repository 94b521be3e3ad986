"""The fake `trtllm-serve` 1.2.1."""

import json

import pytest

from unit.fake_engine.process import engine

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


async def test_answers_and_reports_json_that_a_read_empties(tmp_path):
    options = tmp_path / "options.yaml"
    options.write_text(
        "enable_iter_perf_stats: true\nreturn_perf_metrics: true\nkv_cache_config: {enable_block_reuse: true}\n"
    )
    argv = ("serve", MODEL, "--host", "0.0.0.0", "--tp_size", "2", "--extra_llm_api_options", str(options))
    async with engine(tmp_path, "trtllm-serve", *argv, NVIDIA_VISIBLE_DEVICES="0,1") as run:
        await run.ready()
        status, body = await run.chat(model="anything")
        assert status == 200
        assert "trtllm 1.2.1" in body["choices"][0]["message"]["content"]
        rows = json.loads(await run.text("/metrics"))
        assert rows[0]["kvCacheStats"]["tokensPerBlock"] == 32
        assert not any("queue" in key.lower() for key in rows[0])
        assert json.loads(await run.text("/metrics")) == []
        assert "trtllm_request_success_total" in await run.text("/prometheus/metrics")


async def test_the_model_may_stand_first_and_statistics_are_off_by_default(tmp_path):
    async with engine(tmp_path, "trtllm-serve", MODEL) as run:
        await run.ready()
        await run.chat()
        assert json.loads(await run.text("/metrics")) == []
        assert await run.status("/prometheus/metrics") == 404


@pytest.mark.parametrize(
    ("argv", "environment", "status", "words"),
    [
        ((MODEL, "--tensor-parallel-size", "2"), {}, 2, "--tensor-parallel-size"),
        ((MODEL, "--tp_size", "two"), {}, 2, "'two' is not a valid integer"),
        ((MODEL, "--backend", "vllm"), {}, 2, "is not one of"),
        ((MODEL, "--backend", "trt"), {"FAKE_ENGINE_LOAD_FAILS": "cuda-oom"}, 1, "CUDA out of memory"),
        ((MODEL, "extra"), {}, 2, "unexpected extra argument (extra)"),
        ((), {}, 2, "Missing argument 'MODEL'"),
        (
            (MODEL, "--tp_size", "4"),
            {"NVIDIA_VISIBLE_DEVICES": "0,1"},
            1,
            "Only 2 GPUs are available, but 4 are required.",
        ),
        ((MODEL,), {"NVIDIA_VISIBLE_DEVICES": "none"}, 1, "No GPU devices found on the node"),
        ((MODEL, "--tp_size", "8", "--ep_size", "3"), {}, 1, "must equal to tp_size"),
        ((MODEL, "--config", "/no/such/file"), {}, 1, "No such file or directory"),
        ((MODEL, "--custom_module_dirs", "/no/such/folder"), {}, 2, "does not exist"),
        ((MODEL, "--served_model_name", "x"), {}, 2, "--served_model_name"),
    ],
)
async def test_refuses_as_the_real_one(tmp_path, argv, environment, status, words):
    async with engine(tmp_path, "trtllm-serve", *(argv or ("serve",)), **environment) as run:
        assert await run.ends() == status
        assert words in run.log


async def test_unknown_yaml_keys_are_refused(tmp_path):
    options = tmp_path / "options.yaml"
    options.write_text("kv_cache_config: {free_gpu_fraction: 0.5}\n")
    async with engine(tmp_path, "trtllm-serve", MODEL, "--config", str(options)) as run:
        assert await run.ends() == 1
        assert "Extra inputs are not permitted" in run.log


async def test_the_file_wins_over_the_command_line(tmp_path):
    options = tmp_path / "options.yaml"
    options.write_text("tensor_parallel_size: 4\n")
    async with engine(tmp_path, "trtllm-serve", MODEL, "--config", str(options), NVIDIA_VISIBLE_DEVICES="0,1") as run:
        assert await run.ends() == 1
        assert "but 4 are required" in run.log
