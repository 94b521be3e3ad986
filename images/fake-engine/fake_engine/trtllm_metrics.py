"""trtllm-serve 1.2.1's figures: iteration statistics as JSON that a read empties, and a small Prometheus page on request.

Names from tensorrt_llm/serve/openai_server.py and the 1.2 documentation; no queue depth is among them.
"""

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from fake_engine.batch import Batch, Request

KEPT = 1000
LABELS = ("model_name", "engine_type")
HISTOGRAMS = (
    "e2e_request_latency_seconds",
    "time_to_first_token_seconds",
    "time_per_output_token_seconds",
    "request_queue_time_seconds",
)


@dataclass(slots=True)
class TrtllmMetrics:
    """Observes a batch."""

    tokens_per_block: int = 32
    batch: Batch | None = None
    iterations: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT))
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    _step: int = 0
    _completed: int = 0
    _success: Counter = field(init=False)
    _histograms: dict[str, Histogram] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._success = Counter(
            "trtllm_request_success",
            "Count of successfully processed requests.",
            (*LABELS, "finished_reason"),
            registry=self.registry,
        )
        for name in HISTOGRAMS:
            self._histograms[name] = Histogram(
                f"trtllm_{name}", f"Histogram of {name.replace('_', ' ')}.", LABELS, registry=self.registry
            )

    def watch(self, batch: Batch) -> None:
        """Read gauges from this batch."""
        self.batch = batch
        used = Gauge("trtllm_kv_cache_utilization", "KV cache utilization", LABELS, registry=self.registry)
        used.labels("undefined", "undefined").set_function(lambda: batch.kv_usage)
        hits = Gauge("trtllm_kv_cache_hit_rate", "KV cache hit rate", LABELS, registry=self.registry)
        hits.labels("undefined", "undefined").set(0)

    def drain(self) -> list[dict[str, Any]]:
        """All statistics since the last read."""
        found = list(self.iterations)
        self.iterations.clear()
        return found

    def text(self) -> bytes:
        """The Prometheus page."""
        return generate_latest(self.registry)

    def _seen(self, name: str, seconds: float) -> None:
        self._histograms[name].labels("undefined", "undefined").observe(seconds)

    def first_token(self, seconds: float) -> None:
        """See `batch.Observer`."""
        self._seen("time_to_first_token_seconds", seconds)

    def next_token(self, seconds: float) -> None:
        """See `batch.Observer`."""
        self._seen("time_per_output_token_seconds", seconds)

    def preempted(self) -> None:
        """See `batch.Observer`; the scheduler guarantees that nobody is evicted, so it does not come."""

    def finished(self, request: Request, reason: str) -> None:
        """See `batch.Observer`."""
        now = time.monotonic()
        self._completed += 1
        self._success.labels("undefined", "undefined", reason).inc()
        self._seen("e2e_request_latency_seconds", now - request.arrived)
        self._seen("request_queue_time_seconds", (request.started or now) - request.arrived)

    def stepped(self, tokens: int, seconds: float) -> None:
        """See `batch.Observer`: one row of statistics."""
        batch = self.batch
        if batch is None:
            return
        blocks = batch.kv_tokens // self.tokens_per_block
        used = int(blocks * batch.kv_usage)
        self._step += 1
        self.iterations.append(
            {
                "iter": self._step,
                "iterLatencyMS": seconds * 1000,
                "numActiveRequests": len(batch.running),
                "maxNumActiveRequests": batch.max_sequences,
                "numCompletedRequests": self._completed,
                "kvCacheStats": {
                    "maxNumBlocks": blocks,
                    "freeNumBlocks": blocks - used,
                    "usedNumBlocks": used,
                    "tokensPerBlock": self.tokens_per_block,
                    "cacheHitRate": 0.0,
                },
                "inflightBatchingStats": {
                    "numScheduledRequests": len(batch.running),
                    "numGenRequests": len(batch.running),
                    "numContextRequests": 0,
                    "numPausedRequests": 0,
                    "numCtxTokens": 0,
                },
            }
        )
        self._completed = 0
