"""`vllm serve`, played: parse, check, form the group, load, serve."""

import asyncio
import hashlib
import json
import os
import sys
from argparse import Namespace

from aiohttp import web

from fake_engine import gpus, knobs
from fake_engine.batch import Batch
from fake_engine.faults import fail
from fake_engine.group import Group, Member
from fake_engine.journal import journal
from fake_engine.layout import Layout
from fake_engine.models import found_offline
from fake_engine.openai_api import Dialect, OpenAiApi
from fake_engine.refusal import Refused, end
from fake_engine.server import Life, bound
from fake_engine.vllm_checks import check
from fake_engine.vllm_metrics import VllmMetrics
from fake_engine.vllm_parser import parse, table

EXECUTE_TIMEOUT = "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS"
ENOUGH = 1 << 20
log = journal("EngineCore")


def main() -> None:
    """The console script `vllm`."""
    try:
        _environment()
        tuned = knobs.read(os.environ)
        args = parse(sys.argv[1:])
        found_offline(args.model, args.revision, os.environ)
        granted = gpus.granted(os.environ, tuned.gpus)
        layout, _model = check(args, ENOUGH if granted is None else granted)
        _check_devices(layout, granted)
        code = asyncio.run(_Engine(args, layout, tuned).run())
    except Refused as refused:
        end(refused)
    raise SystemExit(code)


def _environment() -> None:
    """VLLM ends when Kubernetes' variables of a Service named `vllm` stand where it looks for a port."""
    port = os.environ.get("VLLM_PORT", "")
    if port and not port.isdigit():
        raise Refused(
            f"VLLM_PORT '{port}' appears to be a URI. This may be caused by a Kubernetes service discovery issue, check the "
            "warning in: https://docs.vllm.ai/en/stable/serving/env_vars.html"
        )


def _check_devices(layout: Layout, granted: int | None) -> None:
    """Every worker takes one device of this node."""
    if layout.multi_port:
        raise Refused("fake engine: --data-parallel-multi-port-external-lb is understood but not played")
    if granted is None:
        log.warning(
            "nothing says how many GPUs this container has (NVIDIA_VISIBLE_DEVICES is unset); taking the %d that the "
            "layout needs",
            layout.local_gpus,
        )
        return
    if layout.local_gpus > granted:
        raise Refused(f"DP adjusted local rank {granted} is out of bounds for {granted} devices.", "AssertionError")
    if layout.local_gpus < granted:
        log.warning(
            "%d GPUs of this container stay idle: the layout needs %d of %d here",
            granted - layout.local_gpus,
            layout.local_gpus,
            granted,
        )


class _Engine:
    """One `vllm serve` process."""

    def __init__(self, args: Namespace, layout: Layout, tuned: knobs.Knobs) -> None:
        self.args, self.layout, self.knobs = args, layout, tuned
        self.life = Life(tuned, layout.node_rank, args.shutdown_timeout)
        names = args.served_model_name or [args.model]
        self.metrics = VllmMetrics(names[0])
        kv_tokens = tuned.kv_tokens or 16 * args.max_model_len
        timeout = float(os.environ.get(EXECUTE_TIMEOUT, "300"))
        self.batch = Batch(args.max_num_seqs, kv_tokens, tuned, self.metrics, stuck_timeout_seconds=timeout)
        self.names: list[str] = names

    async def run(self) -> int:
        """Until the end; returns the exit status."""
        self.life.on_signals()
        held = None if self.args.headless else bound(self.args.host, self.args.port)
        groups = [group for group in (self._nodes_group(), self._data_group()) if group]
        for group in groups:
            await self._formed(group)
        self._check_kv()
        try:
            return await (self._serve(held) if held and not self.life.stop.is_set() else self._work())
        finally:
            for group in groups:
                await group.close()

    async def _formed(self, group: Group) -> None:
        forming = asyncio.create_task(group.form())
        stopping = asyncio.create_task(self.life.stop.wait())
        await asyncio.wait({forming, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if forming.done():
            forming.result()
        else:
            forming.cancel()

    def _settings(self) -> str:
        """Hash of what the nodes of a group must agree on: everything but their place and their own address."""
        own = {
            "node_rank",
            "headless",
            "data_parallel_rank",
            "data_parallel_start_rank",
            "data_parallel_size_local",
            "api_server_count",
            "host",
            "port",
            "data_parallel_address",
            "subparser",
            "data_parallel_hybrid_lb",
        }
        shared = {name: str(value) for name, value in vars(self.args).items() if name not in own}
        return hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()[:16]

    def _nodes_group(self) -> Group | None:
        """The torch rendezvous of `--nnodes`."""
        if self.layout.nodes == 1:
            return None
        member = Member(self.layout.node_rank, self.layout.nodes, self.args.model, str(self.layout), self._settings())
        return Group(member, self.args.master_addr, self.args.master_port, self.knobs.group_timeout_seconds, self._lost)

    def _data_group(self) -> Group | None:
        """The handshake of data-parallel ranks over several pods, by the RPC port."""
        layout = self.layout
        if layout.nodes > 1 or layout.data_local >= layout.data:
            return None
        member = Member(
            layout.data_rank // layout.data_local,
            layout.data // layout.data_local,
            self.args.model,
            str(layout),
            self._settings(),
        )
        host = self.args.data_parallel_address or self.args.master_addr
        port = self.args.data_parallel_rpc_port or 29550
        return Group(member, host, port, self.knobs.group_timeout_seconds, self._lost)

    def _lost(self, rank: int) -> None:
        """A member is gone. Nodes with an API go on until a step waits for it in vain; the others leave."""
        if self.args.headless:
            log.error("Worker proc VllmWorker-%d died unexpectedly (exit code: 1), shutting down executor.", rank)
            asyncio.get_running_loop().call_later(self.knobs.leader_loss_seconds, self.life.stop.set)
        else:
            log.info("fake engine: node %d left; vLLM does not see that until a step waits for it", rank)
            self.batch.stuck = True

    def _check_kv(self) -> None:
        if self.knobs.kv_tokens and self.knobs.kv_tokens < self.args.max_model_len:
            raise Refused(
                f"To serve at least one request with the model's max seq len ({self.args.max_model_len}), more KV cache is "
                f"needed than the {self.knobs.kv_tokens} tokens available. Try increasing `gpu_memory_utilization` or "
                "decreasing `max_model_len` when initializing the engine."
            )

    async def _work(self) -> int:
        """A headless node: nothing listens; it lives as long as its group."""
        if self.knobs.load_fails and self.knobs.fault_rank == self.layout.node_rank:
            fail(self.knobs.load_fails)
        faults = self.life.arm_faults()
        dies = self.knobs.follower_dies_after_seconds
        try:
            await asyncio.wait_for(self.life.stop.wait(), dies or None)
        except TimeoutError:
            log.info("fault knob: this follower leaves with %d", self.knobs.follower_exit_code)
            return self.knobs.follower_exit_code
        finally:
            for fault in faults:
                fault.cancel()
        return 0

    async def _serve(self, held: object) -> int:
        if not await self.life.load():
            return 0
        who = f"vllm {table()['version']} {self.args.model} {self.layout}"
        keys = frozenset(self.args.api_key or ())
        api = OpenAiApi(
            self.batch,
            self.knobs,
            self.names,
            self.args.model,
            who,
            self.args.max_model_len,
            Dialect(True, "vllm"),
            keys,
            self.args.max_num_queued_reqs,
            on_rejection=self.metrics.rejected,
        )
        self.metrics.watch(self.batch)
        self.life.die_with(self.batch, os.environ.get("VLLM_KEEP_ALIVE_ON_ENGINE_DEATH") == "1")
        log.info("GPU KV cache size: %s tokens", f"{self.batch.kv_tokens:,}")
        self.life.arm_faults()
        await self.life.serve(held, api, self.batch, self._routes())  # type: ignore[arg-type]
        return self.life.exit_code

    def _routes(self) -> list[web.RouteDef]:
        async def health(_request: web.Request) -> web.Response:
            return web.Response(status=503 if self.batch.dead else 200)

        async def metrics(_request: web.Request) -> web.Response:
            return web.Response(
                body=self.metrics.text(), headers={"Content-Type": "text/plain; version=1.0.0; charset=utf-8"}
            )

        async def version(_request: web.Request) -> web.Response:
            return web.json_response({"version": table()["version"]})

        async def load(_request: web.Request) -> web.Response:
            return web.json_response({"server_load": 0})

        return [
            web.get("/health", health),
            web.get("/ping", health),
            web.post("/ping", health),
            web.get("/metrics", metrics),
            web.get("/version", version),
            web.get("/load", load),
        ]
