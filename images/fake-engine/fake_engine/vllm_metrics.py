"""vLLM 0.32.0's `/metrics`: its names, labels and buckets (vllm/v1/metrics/loggers.py and buckets.py of that version)."""

import time
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from fake_engine.batch import Batch, Request

LATENCY = (
    0.3,
    0.5,
    0.8,
    1.0,
    1.5,
    2.0,
    2.5,
    5.0,
    10.0,
    15.0,
    20.0,
    30.0,
    40.0,
    50.0,
    60.0,
    120.0,
    240.0,
    480.0,
    960.0,
    1920.0,
    7680.0,
)
FIRST_TOKEN = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
    40.0,
    80.0,
    160.0,
    640.0,
    2560.0,
)
NEXT_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
LABELS = ("model_name", "engine")


@dataclass(slots=True)
class VllmMetrics:
    """Observes a batch and renders what Prometheus would read."""

    model_name: str
    block_size: int = 16
    batch: Batch | None = None
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    _counters: dict[str, Counter] = field(default_factory=dict)
    _histograms: dict[str, Histogram] = field(default_factory=dict)
    _success: Counter = field(init=False)
    _rejections: Counter = field(init=False)

    def __post_init__(self) -> None:
        for name, text in (
            ("num_preemptions", "Cumulative number of preemption from the engine."),
            ("prompt_tokens", "Number of prefill tokens processed."),
            ("generation_tokens", "Number of generation tokens processed."),
            ("prefix_cache_queries", "Prefix cache queries, in terms of number of queried tokens."),
            ("prefix_cache_hits", "Prefix cache hits, in terms of number of cached tokens."),
        ):
            self._counters[name] = Counter(f"vllm:{name}", text, LABELS, registry=self.registry)
            self._counters[name].labels(self.model_name, "0")
        for name, buckets in (
            ("time_to_first_token_seconds", FIRST_TOKEN),
            ("inter_token_latency_seconds", NEXT_TOKEN),
            ("request_time_per_output_token_seconds", NEXT_TOKEN),
            ("e2e_request_latency_seconds", LATENCY),
            ("request_queue_time_seconds", LATENCY),
            ("request_inference_time_seconds", LATENCY),
        ):
            text = f"Histogram of {name.replace('_', ' ')}."
            self._histograms[name] = Histogram(f"vllm:{name}", text, LABELS, buckets=buckets, registry=self.registry)
            self._histograms[name].labels(self.model_name, "0")
        self._success = Counter(
            "vllm:request_success",
            "Count of successfully processed requests.",
            (*LABELS, "finished_reason"),
            registry=self.registry,
        )
        self._rejections = Counter(
            "vllm:admission_rejections",
            "Requests rejected at admission.",
            ("model_name", "reason"),
            registry=self.registry,
        )

    def watch(self, batch: Batch) -> None:
        """Read gauges from this batch."""
        self.batch = batch
        self._gauge(
            "num_requests_running", "Number of requests in model execution batches.", lambda: len(batch.running)
        )
        self._gauge("num_requests_waiting", "Number of requests waiting to be processed.", lambda: len(batch.waiting))
        self._gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", lambda: batch.kv_usage)
        by_reason = Gauge(
            "vllm:num_requests_waiting_by_reason",
            "Number of waiting requests by reason.",
            (*LABELS, "reason"),
            registry=self.registry,
        )
        by_reason.labels(self.model_name, "0", "capacity").set_function(lambda: len(batch.waiting))
        by_reason.labels(self.model_name, "0", "deferred").set(0)
        sleep = Gauge(
            "vllm:engine_sleep_state", "Engine sleep state.", (*LABELS, "sleep_state"), registry=self.registry
        )
        for state, value in (("awake", 1), ("weights_offloaded", 0), ("discard_all", 0)):
            sleep.labels(self.model_name, "0", state).set(value)
        blocks = str(batch.kv_tokens // self.block_size)
        info = {"block_size": str(self.block_size), "cache_dtype": "auto", "num_gpu_blocks": blocks, "engine": "0"}
        Gauge(
            "vllm:cache_config_info", "Information of the LLMEngine CacheConfig", tuple(info), registry=self.registry
        ).labels(**info).set(1)

    def _gauge(self, name: str, text: str, read: "object") -> None:
        gauge = Gauge(f"vllm:{name}", text, LABELS, registry=self.registry)
        gauge.labels(self.model_name, "0").set_function(read)  # type: ignore[arg-type]

    def _seen(self, name: str, seconds: float) -> None:
        self._histograms[name].labels(self.model_name, "0").observe(seconds)

    def _add(self, name: str, amount: int) -> None:
        self._counters[name].labels(self.model_name, "0").inc(amount)

    def first_token(self, seconds: float) -> None:
        """See `batch.Observer`."""
        self._seen("time_to_first_token_seconds", seconds)

    def next_token(self, seconds: float) -> None:
        """See `batch.Observer`."""
        self._seen("inter_token_latency_seconds", seconds)

    def preempted(self) -> None:
        """See `batch.Observer`."""
        self._add("num_preemptions", 1)

    def stepped(self, tokens: int, seconds: float) -> None:
        """See `batch.Observer`; vLLM counts per request, when it ends."""

    def finished(self, request: Request, reason: str) -> None:
        """See `batch.Observer`."""
        now = time.monotonic()
        started = request.started or now
        self._success.labels(self.model_name, "0", reason).inc()
        self._add("prompt_tokens", request.prompt_tokens)
        self._add("prefix_cache_queries", request.prompt_tokens)
        self._add("generation_tokens", request.made)
        self._seen("e2e_request_latency_seconds", now - request.arrived)
        self._seen("request_queue_time_seconds", started - request.arrived)
        self._seen("request_inference_time_seconds", now - started)
        self._seen("request_time_per_output_token_seconds", (now - started) / max(request.made, 1))

    def rejected(self, reason: str) -> None:
        """A request was turned away."""
        self._rejections.labels(self.model_name, reason).inc()

    def text(self) -> bytes:
        """The page."""
        return generate_latest(self.registry)
