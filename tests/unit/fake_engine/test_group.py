"""Groups form over TCP as `vllm serve --nnodes` forms them, and break as it breaks."""

import asyncio
import signal
from contextlib import AsyncExitStack

import pytest

from unit.fake_engine.process import engine, free_port

DENSE, MOE = "Qwen/Qwen3-8B", "Qwen/Qwen3-30B-A3B"


def node(
    rank: int, port: int, *extra: str, model: str = DENSE, nodes: int = 2, layout=("-tp", "2", "-pp", "2")
) -> list[str]:
    return [
        "vllm",
        "serve",
        model,
        *layout,
        "--nnodes",
        str(nodes),
        "--node-rank",
        str(rank),
        "--master-addr",
        "127.0.0.1",
        "--master-port",
        str(port),
        *(["--headless"] if rank else []),
        *extra,
    ]


async def test_two_nodes_form_a_group_in_any_order_and_answer(tmp_path):
    for order in ((0, 1), (1, 0)):
        async with AsyncExitStack() as stack:
            port, runs = free_port(), {}
            for rank in order:
                runs[rank] = await stack.enter_async_context(
                    engine(tmp_path, *node(rank, port), NVIDIA_VISIBLE_DEVICES="0,1")
                )
                await asyncio.sleep(0.3)
            await runs[0].ready()
            status, body = await runs[0].chat()
            assert status == 200
            assert "TP2·PP2" in body["choices"][0]["message"]["content"]
            runs[1].process.send_signal(signal.SIGTERM)
            assert await runs[1].ends() == 0


async def test_the_leader_waits_for_every_node(tmp_path):
    async with engine(tmp_path, *node(0, free_port()), FAKE_ENGINE_GROUP_TIMEOUT_SECONDS="2") as run:
        await asyncio.sleep(1)
        assert await run.status("/health") == 0
        assert await run.ends() == 1
        assert "DistStoreError: Timed out after 3 seconds waiting for clients. 1/2 clients joined." in run.log


async def test_a_follower_without_a_leader_times_out(tmp_path):
    async with engine(tmp_path, *node(1, free_port()), FAKE_ENGINE_GROUP_TIMEOUT_SECONDS="1") as run:
        assert await run.ends() == 1
        assert "The client socket has timed out after 1000ms while trying to connect to (127.0.0.1" in run.log


@pytest.mark.parametrize(
    ("follower", "words"),
    [
        ({"model": "Qwen/Qwen3-32B"}, "Configuration mismatch detected for engine 1"),
        ({"layout": ("-tp", "4", "-pp", "1")}, "Configuration mismatch detected for engine 1"),
        ({"extra": ("--max-model-len", "4096")}, "Configuration mismatch detected for engine 1"),
        ({"nodes": 4}, "waiting for clients. 1/2 clients joined"),
    ],
    ids=["model", "layout", "settings", "size"],
)
async def test_a_node_that_does_not_fit_ends_the_start(tmp_path, follower, words):
    port = free_port()
    extra = follower.pop("extra", ())
    async with (
        engine(tmp_path, *node(0, port)) as first,
        engine(tmp_path, *node(1, port, *extra, **follower)) as second,
    ):
        assert (await first.ends(), await second.ends()) == (1, 1)
        assert words in first.log
        assert words in second.log


async def test_two_nodes_of_one_rank_are_refused(tmp_path):
    port, layout = free_port(), ("-tp", "1", "-pp", "3")
    three = {"nodes": 3, "layout": layout}
    async with (
        engine(tmp_path, *node(0, port, **three)) as first,
        engine(tmp_path, *node(1, port, **three)),
        engine(tmp_path, *node(1, port, **three)),
    ):
        assert await first.ends() == 1
        assert "2/3 clients joined" in first.log


async def test_followers_leave_when_their_leader_dies(tmp_path):
    port = free_port()
    async with (
        engine(tmp_path, *node(0, port)) as leader,
        engine(tmp_path, *node(1, port), FAKE_ENGINE_LEADER_LOSS_SECONDS="0.2") as follower,
    ):
        await leader.ready()
        leader.process.kill()
        assert await follower.ends() == 0
        assert "died unexpectedly" in follower.log


async def test_the_leader_sees_a_dead_follower_only_when_a_step_waits_for_it(tmp_path):
    port = free_port()
    async with (
        engine(tmp_path, *node(0, port), VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS="2") as leader,
        engine(tmp_path, *node(1, port)) as follower,
    ):
        await leader.ready()
        follower.process.kill()
        await asyncio.sleep(1.5)
        assert await leader.status("/health") == 200
        status, _ = await leader.chat()
        assert status == 500
        assert await leader.status("/health") == 503
        assert await leader.ends() == 0


async def test_a_restarted_follower_is_not_let_in_again(tmp_path):
    port = free_port()
    async with engine(tmp_path, *node(0, port)) as leader:
        async with engine(tmp_path, *node(1, port)):
            await leader.ready()
        async with engine(tmp_path, *node(1, port), FAKE_ENGINE_GROUP_TIMEOUT_SECONDS="2") as again:
            assert await again.ends() == 1
            assert "timed out" in again.log


async def test_follower_dies_by_knob(tmp_path):
    port = free_port()
    environment = {"FAKE_ENGINE_FOLLOWER_DIES_AFTER_SECONDS": "0.3", "FAKE_ENGINE_FOLLOWER_EXIT_CODE": "9"}
    async with (
        engine(tmp_path, *node(0, port), **environment) as leader,
        engine(tmp_path, *node(1, port), **environment) as follower,
    ):
        await leader.ready()
        assert await follower.ends() == 9
        assert leader.process.returncode is None


async def test_data_parallel_ranks_over_two_pods_shake_hands(tmp_path):
    port = free_port()
    common = ["vllm", "serve", MOE, "-dp", "4", "-dpl", "2", "-ep", "-dpa", "127.0.0.1", "-dpp", str(port)]
    async with (
        engine(tmp_path, *common, NVIDIA_VISIBLE_DEVICES="0,1") as leader,
        engine(tmp_path, *common, "--headless", "-dpr", "2", NVIDIA_VISIBLE_DEVICES="0,1"),
    ):
        await leader.ready()
        _, body = await leader.chat()
        assert "DP4·EP" in body["choices"][0]["message"]["content"]


def hybrid(rank: int, port: int, *extra: str) -> list[str]:
    """A node of four data-parallel ranks on two nodes, each with an API of its own."""
    words = node(rank, port, "-dph", "-dpl", "2", *extra, model=MOE, layout=("-tp", "1", "-dp", "4", "-ep"))
    return [word for word in words if word != "--headless"]


async def test_with_hybrid_balancing_every_node_answers_and_a_lost_one_leaves_the_others_waiting(tmp_path):
    port = free_port()
    two = {"NVIDIA_VISIBLE_DEVICES": "0,1", "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "2"}
    async with engine(tmp_path, *hybrid(0, port), **two) as first, engine(tmp_path, *hybrid(1, port), **two) as second:
        for run in (first, second):
            await run.ready()
            status, body = await run.chat()
            assert status == 200
            assert "TP1·PP1·DP4·EP" in body["choices"][0]["message"]["content"]
        assert "GPUs of this container stay idle" not in first.log + second.log
        first.process.kill()
        await asyncio.sleep(1)
        assert await second.status("/health") == 200, "nothing is wrong until a step waits for the other rank"
        status, _ = await second.chat()
        assert status == 500


async def test_hybrid_balancing_of_more_ranks_than_gpus_is_refused(tmp_path):
    async with engine(tmp_path, *hybrid(0, free_port()), NVIDIA_VISIBLE_DEVICES="0") as run:
        assert await run.ends() == 1
        assert "out of bounds for 1 devices" in run.log
