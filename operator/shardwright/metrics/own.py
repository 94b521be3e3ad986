"""The operator's own figures. Every label takes few values that are known beforehand: no names of objects, ever."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from shardwright.api.reasons import Reason

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_KINDS = frozenset(
    {"InferenceDeployment", "Node", "Pod", "Service", "ConfigMap", "Event", "StatefulSet",
     "ControllerRevision", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Secret", "APIService"}
)  # fmt: skip
_VERBS = frozenset({"get", "list", "watch", "apply", "patch", "create", "delete"})
_RESULTS = frozenset({"done", "retried", "failed", "gone"})
_REASONS = frozenset(Reason)
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class OperatorMetrics:
    """One registry with all of them; nothing registers itself anywhere else."""

    def __init__(self) -> None:
        """Make them all, each at zero; their times of making are left out, since they say when the process began."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        registry = self.registry
        self._reconciles = Counter(
            "shardwright_reconciles", "Reconciles, by how they ended.", ["result"], registry=registry
        )
        self._reconcile_seconds = Histogram(
            "shardwright_reconcile_seconds", "Time of one reconcile.", buckets=_SECONDS, registry=registry
        )
        self._decide_seconds = Histogram(
            "shardwright_decide_seconds",
            "Time of one decision, planning included.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._queue = Gauge("shardwright_queue_keys", "Deployments that wait for a reconcile.", registry=registry)
        self._requests = Counter(
            "shardwright_api_requests", "Requests to the API server.", ["verb", "kind", "status"], registry=registry
        )
        self._request_seconds = Histogram(
            "shardwright_api_request_seconds",
            "Time of one request to the API server.",
            ["verb"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._warnings = Counter("shardwright_warnings", "Warnings to users, by reason.", ["reason"], registry=registry)
        self._scrapes = Counter(
            "shardwright_external_metric_requests",
            "Questions of autoscalers, by answer.",
            ["answer"],
            registry=registry,
        )

    def reconciled(self, result: str, seconds: float) -> None:
        """One reconcile ended: done, retried (later, by our wish), failed (an error) or gone (the object is)."""
        self._reconciles.labels(_known(result, _RESULTS)).inc()
        self._reconcile_seconds.observe(seconds)

    def decided(self, seconds: float) -> None:
        """One decision was made, whatever it said."""
        self._decide_seconds.observe(seconds)

    def queue(self, keys: int) -> None:
        """So many keys wait."""
        self._queue.set(keys)

    def requested(self, verb: str, kind: str, status: int, seconds: float) -> None:
        """One request to the API server was answered; fits `ApiClient`'s `observe`."""
        verb = _known(verb, _VERBS)
        group = f"{status // 100}xx" if 100 <= status < 600 else "none"
        self._requests.labels(verb, _known(kind, _KINDS), group).inc()
        self._request_seconds.labels(verb).observe(seconds)

    def warned(self, reason: str) -> None:
        """One user was warned: a spec was refused, nothing fits, a group broke."""
        self._warnings.labels(_known(reason, _REASONS)).inc()

    def external_metric(self, answer: int) -> None:
        """One question of an autoscaler was answered with this HTTP status."""
        self._scrapes.labels(f"{answer // 100}xx").inc()

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)


def _known(word: str, words: frozenset[str] | frozenset[Reason]) -> str:
    """Keep a label bounded: a word that nobody listed is `other`."""
    return word if word in words else "other"
