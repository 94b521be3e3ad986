"""The fake serves as the real engines do: HTTP, streaming, metrics, load, ends."""

import asyncio
import signal

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from unit.fake_engine.process import engine, free_port

DENSE = "Qwen/Qwen3-8B"


def metric(page: str, name: str) -> float:
    return next(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name
    )


async def test_answers_a_chat_asked_with_the_openai_client(tmp_path):
    async with engine(
        tmp_path, "vllm", "serve", DENSE, "-tp", "2", "--served-model-name", "qwen", NVIDIA_VISIBLE_DEVICES="0,1"
    ) as run:
        await run.ready()
        client = openai.AsyncOpenAI(base_url=f"{run.url}/v1", api_key="none")
        assert [model.id async for model in client.models.list()] == ["qwen"]
        asked = [{"role": "user", "content": "are you there"}]
        whole = await client.chat.completions.create(model="qwen", messages=asked)
        assert "TP2·PP1" in whole.choices[0].message.content
        assert "are you there" in whole.choices[0].message.content
        stream = await client.chat.completions.create(model="qwen", messages=asked, stream=True, max_tokens=5)
        words = [chunk.choices[0].delta.content async for chunk in stream]
        assert len([word for word in words if word]) == 5
        completed = await client.completions.create(model="qwen", prompt="once upon", max_tokens=4)
        assert completed.usage.completion_tokens == 4
        with pytest.raises(openai.NotFoundError, match="does not exist"):
            await client.chat.completions.create(model="other", messages=asked)
        with pytest.raises(openai.BadRequestError, match="maximum context length"):
            await client.chat.completions.create(model="qwen", messages=[{"role": "user", "content": "x" * 400_000}])


async def test_port_is_refused_until_ready_and_503_never_comes_before(tmp_path):
    async with engine(tmp_path, "vllm", "serve", DENSE, FAKE_ENGINE_LOAD_SECONDS="1.5") as run:
        seen = set()
        for _ in range(10):
            seen.add(await run.status("/health"))
            await asyncio.sleep(0.05)
        assert seen == {0}
        await run.ready()


async def test_unready_never_listens(tmp_path):
    async with engine(tmp_path, "vllm", "serve", DENSE, FAKE_ENGINE_UNREADY="1") as run:
        await asyncio.sleep(2)
        assert await run.status("/health") == 0
        assert run.process.returncode is None


async def test_queue_grows_beyond_max_num_seqs_and_latency_with_it(tmp_path):
    async with engine(
        tmp_path, "vllm", "serve", DENSE, "--max-num-seqs", "2", FAKE_ENGINE_STEP_MILLISECONDS="20"
    ) as run:
        await run.ready()
        asked = [asyncio.create_task(run.chat(max_tokens=20, ignore_eos=True)) for _ in range(10)]
        await asyncio.sleep(0.3)
        page = await run.text("/metrics")
        assert metric(page, "vllm:num_requests_running") == 2
        assert metric(page, "vllm:num_requests_waiting") == 8
        assert 0 < metric(page, "vllm:kv_cache_usage_perc") < 1
        assert 'model_name="Qwen/Qwen3-8B"' in page
        assert 'engine="0"' in page
        assert {status for status, _ in await asyncio.gather(*asked)} == {200}
        page = await run.text("/metrics")
        assert metric(page, "vllm:num_requests_waiting") == 0
        assert metric(page, "vllm:generation_tokens_total") == 200
        assert metric(page, "vllm:request_success_total") == 10
        queued = metric(page, "vllm:request_queue_time_seconds_sum")
        assert queued > 10 * 0.2


async def test_a_full_kv_cache_preempts(tmp_path):
    async with engine(tmp_path, "vllm", "serve", DENSE, "--max-model-len", "64", FAKE_ENGINE_KV_TOKENS="100") as run:
        await run.ready()
        asked = [run.chat(max_tokens=50, ignore_eos=True) for _ in range(4)]
        assert {status for status, _ in await asyncio.gather(*asked)} == {200}
        assert metric(await run.text("/metrics"), "vllm:num_preemptions_total") > 0


async def test_queue_limit_answers_503(tmp_path):
    argv = ("--max-num-seqs", "1", "--max-num-queued-reqs", "3")
    async with engine(tmp_path, "vllm", "serve", DENSE, *argv, FAKE_ENGINE_STEP_MILLISECONDS="30") as run:
        await run.ready()
        answers = await asyncio.gather(*(run.chat(max_tokens=10) for _ in range(6)))
        assert sorted(status for status, _ in answers) == [200] * 3 + [503] * 3


async def test_sigterm_aborts_at_once_or_drains(tmp_path):
    for argv, want in (((), None), (("--shutdown-timeout", "10"), 200)):
        async with engine(tmp_path, "vllm", "serve", DENSE, *argv, FAKE_ENGINE_STEP_MILLISECONDS="50") as run:
            await run.ready()
            asked = asyncio.create_task(run.chat(max_tokens=20, ignore_eos=True))
            await asyncio.sleep(0.3)
            run.process.send_signal(signal.SIGTERM)
            assert await run.ends() == 0
            if want is None:
                with pytest.raises(Exception, match=r"disconnected|reset|closed"):
                    await asked
            else:
                assert (await asked)[0] == want


@pytest.mark.parametrize(
    ("knob", "value", "status"),
    [
        ("OOM_AFTER_SECONDS", "0.3", 137),
        ("CRASH_AFTER_SECONDS", "0.3", 1),
        ("LOAD_FAILS", "cuda-oom", 1),
        ("LOAD_FAILS", "not-found", 1),
        ("NO_SUCH_KNOB", "1", 1),
        ("LOAD_SECONDS", "soon", 1),
    ],
)
async def test_faults_end_the_process(tmp_path, knob, value, status):
    async with engine(tmp_path, "vllm", "serve", DENSE, **{f"FAKE_ENGINE_{knob}": value}) as run:
        assert await run.ends() == status


async def test_crash_after_so_many_requests(tmp_path):
    environment = {"FAKE_ENGINE_CRASH_AFTER_REQUESTS": "2", "FAKE_ENGINE_CRASH_EXIT_CODE": "139"}
    async with engine(tmp_path, "vllm", "serve", DENSE, **environment) as run:
        await run.ready()
        assert (await run.chat())[0] == 200
        with pytest.raises(Exception, match=r"disconnected|reset"):
            await run.chat()
        assert await run.ends() == 139


async def test_a_hang_is_seen_only_at_the_execute_timeout(tmp_path):
    environment = {"FAKE_ENGINE_HANG_AFTER_REQUESTS": "1", "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "2"}
    async with engine(tmp_path, "vllm", "serve", DENSE, **environment) as run:
        await run.ready()
        asked = asyncio.create_task(run.chat())
        await asyncio.sleep(1)
        assert await run.status("/health") == 200
        status, body = await asked
        assert (status, body["error"]["type"]) == (500, "InternalServerError")
        assert await run.status("/health") == 503
        assert await run.ends() == 0


@pytest.mark.parametrize(
    ("argv", "environment", "status", "words"),
    [
        (
            ("-tp", "4"),
            {"NVIDIA_VISIBLE_DEVICES": "0,1"},
            1,
            "World size (4) is larger than the number of available GPUs (2)",
        ),
        ((), {"NVIDIA_VISIBLE_DEVICES": "void"}, 1, "out of bounds for 0 devices"),
        ((), {"VLLM_PORT": "tcp://10.0.0.1:8000"}, 1, "appears to be a URI"),
        (("--no-such",), {}, 2, "unrecognized arguments: --no-such"),
        (("--tensor-parallel-size", "x"), {}, 2, "invalid int value"),
    ],
)
async def test_what_the_container_is_told_is_checked(tmp_path, argv, environment, status, words):
    async with engine(tmp_path, "vllm", "serve", DENSE, *argv, **environment) as run:
        assert await run.ends() == status
        assert words in run.log


async def test_idle_gpus_are_said(tmp_path):
    async with engine(tmp_path, "vllm", "serve", DENSE, NVIDIA_VISIBLE_DEVICES="0,1,2,3") as run:
        await run.ready()
        assert "3 GPUs of this container stay idle" in run.log


async def test_a_taken_port_is_refused(tmp_path):
    port = free_port()
    async with engine(tmp_path, "vllm", "serve", DENSE, port=port) as first:
        await first.ready()
        async with engine(tmp_path, "vllm", "serve", DENSE, port=port) as second:
            assert await second.ends() == 1
            assert "Address already in use" in second.log
