"""`trtllm-serve`, played: parse, check, load, serve. In an MPI world it is the server in rank 0."""

import asyncio
import os
import sys
from pathlib import Path
from types import SimpleNamespace

from aiohttp import web

from fake_engine import gpus, knobs
from fake_engine.batch import Batch
from fake_engine.journal import journal
from fake_engine.models import ModelFacts, found_offline, model_facts
from fake_engine.openai_api import Dialect, OpenAiApi
from fake_engine.refusal import Refused, end, invalid
from fake_engine.server import Life, bound
from fake_engine.trtllm_launch import WORLD_SIZE
from fake_engine.trtllm_metrics import TrtllmMetrics
from fake_engine.trtllm_parser import parse, table

FOREVER_SECONDS = 1e9
log = journal("TRT-LLM")


def main() -> None:
    """The console script `trtllm-serve`."""
    try:
        tuned = knobs.read(os.environ)
        args = parse(sys.argv[1:])
        found_offline(args.model, getattr(args, "revision", None), os.environ)
        model = check(args, gpus.granted(os.environ, tuned.gpus))
        code = asyncio.run(_Engine(args, model, tuned).run())
    except Refused as refused:
        end(refused)
    raise SystemExit(code)


def check(args: SimpleNamespace, granted: int | None) -> ModelFacts:
    """What the real one refuses before it loads; fills in `max_seq_len`. `granted` None = nobody said."""
    world = args.tensor_parallel_size * args.pipeline_parallel_size * args.context_parallel_size
    _check_world(args, world, granted)
    if not 0 < args.free_gpu_memory_fraction <= 1:
        raise invalid("KvCacheConfig", "kv_cache_config.free_gpu_memory_fraction must be a float between 0 and 1")
    model = model_facts(args.model)
    if model.known and model.heads % args.tensor_parallel_size and not args.extra.get("enable_attention_dp"):
        raise Refused(
            f"num_heads ({model.heads}) must be divisible by tp_size ({args.tensor_parallel_size})", "AssertionError"
        )
    expert = args.moe_expert_parallel_size or 1
    if expert > 1 and args.tensor_parallel_size % expert:
        raise Refused(
            f"moe_tp_size * moe_ep_size * moe_cluster_size must equal to tp_size, but got moe_ep_size {expert} and tp_size "
            f"{args.tensor_parallel_size}"
        )
    args.max_seq_len = args.max_seq_len or model.context or 8192
    return model


def _check_world(args: SimpleNamespace, world: int, granted: int | None) -> None:
    """GPUs of this node, and ranks of the MPI world where there is one. A node's share is said by --gpus_per_node."""
    if granted == 0:
        raise Refused("No GPU devices found on the node")
    per_node = min(world, args.gpus_per_node or (granted or world))
    if granted is None:
        log.warning("nothing says how many GPUs this container has; taking the %d that the layout needs", per_node)
    ranks = int(os.environ.get(WORLD_SIZE, "0"))
    if not ranks and per_node < world:
        raise Refused(f"Only {per_node} GPUs are available, but {world} are required.", "RuntimeError")
    if granted is not None and granted < per_node:
        raise Refused(f"Only {granted} GPUs are available, but {world} are required.", "RuntimeError")
    if ranks and ranks != world:
        raise Refused(f"External MPI session has {ranks} workers but the model needs world_size={world}.")
    if granted is not None and granted > per_node:
        log.warning("%d GPUs of this container stay idle", granted - per_node)


class _Engine:
    """One `trtllm-serve` process."""

    def __init__(self, args: SimpleNamespace, model: ModelFacts, tuned: knobs.Knobs) -> None:
        self.args, self.model, self.knobs = args, model, tuned
        self.life = Life(tuned, 0, FOREVER_SECONDS)
        folder = Path(args.model)
        self.name = folder.name if folder.is_dir() else args.model
        self.metrics = TrtllmMetrics()
        self.batch = Batch(args.max_batch_size, tuned.kv_tokens or 16 * args.max_seq_len, tuned, self.metrics)

    async def run(self) -> int:
        """Until the end; returns the exit status."""
        self.life.on_signals()
        held = bound(self.args.host, self.args.port)
        if not await self.life.load():
            return 0
        name = self.name
        layout = f"TP{self.args.tensor_parallel_size}·PP{self.args.pipeline_parallel_size}"
        api = OpenAiApi(
            self.batch,
            self.knobs,
            [name],
            self.args.model,
            f"trtllm {table()['version']} {name} {layout}",
            self.args.max_seq_len,
            Dialect(False, "tensorrt_llm"),
        )
        self.metrics.watch(self.batch)
        self.life.die_with(self.batch, keep_alive=False)
        self.life.arm_faults()
        await self.life.serve(held, api, self.batch, self._routes())
        return 0

    def _routes(self) -> list[web.RouteDef]:
        async def health(_request: web.Request) -> web.Response:
            return web.Response(status=503 if self.batch.dead else 200)

        async def statistics(_request: web.Request) -> web.Response:
            return web.json_response(self.metrics.drain() if self.args.extra.get("enable_iter_perf_stats") else [])

        async def prometheus(_request: web.Request) -> web.Response:
            return web.Response(
                body=self.metrics.text(), headers={"Content-Type": "text/plain; version=1.0.0; charset=utf-8"}
            )

        async def version(_request: web.Request) -> web.Response:
            return web.json_response({"version": table()["version"]})

        rows = [web.get("/health", health), web.get("/metrics", statistics), web.get("/version", version)]
        return rows + (
            [web.get("/prometheus/metrics", prometheus)] if self.args.extra.get("return_perf_metrics") else []
        )
