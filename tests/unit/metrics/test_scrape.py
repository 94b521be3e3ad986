"""Asking leaders for their queue: over real HTTP, on this machine's own loopback only."""

import asyncio

import aiohttp
import pytest
from aiohttp import web

from shardwright.metrics.scrape import LeaderLoads, Load, MetricsUnavailableError, Target, leader_targets, read_load

PAGE = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a"} 3.0
vllm:num_requests_running{engine="1",model_name="a"} 4.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="a"} 5.0
vllm:num_requests_waiting{engine="1",model_name="a"} 0.0
# TYPE vllm:num_requests_waiting_by_reason gauge
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 500.0
vllm:generation_tokens_total{engine="0"} 1.0e+09
"""
LOAD = Load(running=7, waiting=5)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (PAGE, LOAD),
        ("vllm:num_requests_running 1\nvllm:num_requests_waiting 0\n", Load(1, 0)),
        ("vllm:num_requests_running 1.0\n", None),
        ("vllm:num_requests_running NaN\nvllm:num_requests_waiting 0\n", None),
        ("vllm:num_requests_running -1\nvllm:num_requests_waiting 0\n", None),
        ('vllm:num_requests_running{engine="0 1\nvllm:num_requests_waiting 0\n', None),
        ("vllm:num_requests_running one\nvllm:num_requests_waiting 0\n", None),
        ('[{"iter": 1, "numQueuedRequests": 3}]', None),
        ("", None),
    ],
)
def test_an_exposition_is_a_sum_or_nothing(text, value):
    assert read_load(text) == value


def leader(name="qwen-0-0", address="198.18.128.7", **changes):
    labels = {
        "shardwright.io/deployment": "qwen",
        "shardwright.io/deployment-uid": "u1",
        "apps.kubernetes.io/pod-index": "0",
    }
    metadata = {"name": name, "labels": labels | changes.pop("labels", {}), **changes.pop("metadata", {})}
    ready = {"type": "Ready", "status": changes.pop("ready", "True")}
    return {"metadata": metadata, "status": {"podIP": address, "conditions": [ready]}}


@pytest.mark.parametrize(
    ("why", "pod"),
    [
        ("a follower", leader(labels={"apps.kubernetes.io/pod-index": "1"})),
        ("of another deployment", leader(labels={"shardwright.io/deployment": "other"})),
        ("of a deployment of the same name that is gone", leader(labels={"shardwright.io/deployment-uid": "u0"})),
        ("not ready", leader(ready="False")),
        ("on its way out", leader(metadata={"deletionTimestamp": "2026-11-21T12:00:00Z"})),
        ("without address", leader(address="")),
        ("this host", leader(address="127.0.0.1")),
        ("this host, IPv6", leader(address="::1")),
        ("cloud metadata", leader(address="169.254.169.254")),
        ("many", leader(address="224.0.0.1")),
        ("a name", leader(address="metadata.internal")),
        ("empty", {}),
    ],
)
def test_only_ready_leaders_of_the_deployment_are_asked(why, pod):
    assert leader_targets([pod], "qwen", "u1") == (), why


def test_where_every_pod_serves_each_is_asked():
    index = {"apps.kubernetes.io/pod-index": "1"}
    follower = leader("a", "198.18.128.8")
    follower["metadata"]["labels"] |= index
    assert leader_targets([follower], "qwen", "u1") == ()
    follower["metadata"]["labels"]["shardwright.io/endpoints"] = "every-pod"
    assert leader_targets([follower], "qwen", "u1") == (Target("a", "198.18.128.8"),)


def test_leaders_come_sorted():
    pods = [leader("b", "198.18.128.9"), leader("a", "fd00::1")]
    assert leader_targets(pods, "qwen", "u1") == (Target("a", "fd00::1"), Target("b", "198.18.128.9"))


class Leader:
    """A server whose page, status and delay can be changed; counts how often it is asked."""

    def __init__(self):
        self.page, self.status, self.delay_seconds, self.asked, self.headers = PAGE, 200, 0.0, 0, {}

    async def answer(self, _):
        self.asked += 1
        await asyncio.sleep(self.delay_seconds)
        return web.Response(text=self.page, status=self.status, headers=self.headers)


@pytest.fixture
async def engine():
    served = Leader()
    application = web.Application()
    application.router.add_get("/metrics", served.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.target = Target("qwen-0-0", "127.0.0.1", runner.addresses[0][1])
    yield served
    await runner.cleanup()


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
async def asking():
    clock = Clock()
    async with aiohttp.ClientSession() as session:
        loads = LeaderLoads(session, fresh_seconds=5, stale_seconds=30, timeout_seconds=0.3, clock=clock)
        yield loads, clock


async def test_a_fresh_figure_is_not_asked_twice_and_an_old_one_is(engine, asking):
    loads, clock = asking
    assert await loads.load([engine.target]) == LOAD
    clock.now = 4.9
    engine.page = "vllm:num_requests_running 1\nvllm:num_requests_waiting 1\n"
    assert await loads.load([engine.target]) == LOAD
    clock.now = 5.1
    assert await loads.load([engine.target]) == Load(1, 1)
    assert engine.asked == 2


async def test_a_leader_that_falls_silent_is_told_from_memory_for_a_while_then_an_error(engine, asking):
    loads, clock = asking
    await loads.load([engine.target])
    engine.delay_seconds = 1
    clock.now = 20
    assert await loads.load([engine.target]) == LOAD
    clock.now = 31
    with pytest.raises(MetricsUnavailableError, match=r"1 of 1 leaders: qwen-0-0: .* does not answer \(TimeoutError\)"):
        await loads.load([engine.target])


async def test_one_silent_leader_of_two_is_an_error_not_a_smaller_sum(engine, asking):
    loads, _ = asking
    nobody = Target("qwen-1-0", "127.0.0.1", 1)
    with pytest.raises(MetricsUnavailableError, match="1 of 2 leaders: qwen-1-0: "):
        await loads.load([engine.target, nobody])


async def test_one_leader_asked_twice_in_a_sum_counts_twice_and_by_kind(engine, asking):
    loads, _ = asking
    both = await loads.load([engine.target, engine.target])
    assert (both.running, both.waiting, both.in_hand) == (14, 10, 24)


async def test_no_leader_is_an_error(asking):
    with pytest.raises(MetricsUnavailableError, match="no leader is ready"):
        await asking[0].load([])


@pytest.mark.parametrize(
    ("status", "page", "headers"),
    [(500, PAGE, {}), (302, "", {"Location": "http://127.0.0.1:1/"}), (200, "{}", {}), (200, "#\n" * 5_000_000, {})],
)
async def test_an_odd_answer_is_an_error(engine, asking, status, page, headers):
    engine.status, engine.page, engine.headers = status, page, headers
    with pytest.raises(MetricsUnavailableError):
        await asking[0].load([engine.target])


async def test_many_askers_share_one_request(engine, asking):
    engine.delay_seconds = 0.05
    assert await asyncio.gather(*(asking[0].load([engine.target]) for _ in range(20))) == [LOAD] * 20
    assert engine.asked == 1
