"""The autoscaler follows the load with nothing installed but our chart."""

from __future__ import annotations

import json

from support.installed import Installed
from support.waiting import eventually

SPEC = {
    "model": {"id": "Qwen/Qwen3-8B", "servedName": "small"},
    "engine": {"args": {"max-num-seqs": "2"}},
    "objective": {"contextLength": 8192},
    "placement": {"gpuProducts": ["L40S"]},
    "autoscaling": {
        "minReplicas": 1,
        "maxReplicas": 3,
        "metrics": [{"type": "queueDepth", "target": 4}],
        "behavior": {
            "scaleUp": {"stabilizationWindowSeconds": 0},
            "scaleDown": {"stabilizationWindowSeconds": 15},
        },
    },
}


def test_one_replica_becomes_three_under_load_and_one_again(installed: Installed):
    namespace = installed.namespace()
    installed.apply("scaled", namespace, SPEC)
    installed.available("scaled", namespace)

    def ready() -> int:
        return int(installed.get("scaled", namespace)["status"].get("readyReplicas", 0))

    assert ready() == 1
    eventually(
        lambda: metric(installed, namespace) == 0, within_seconds=60, what="the queue depth of an idle deployment is 0"
    )
    load = installed.start_load(
        f"http://scaled.{namespace}.svc:8000/v1", "small", in_flight=24, seconds=100, tokens=100
    )
    eventually(lambda: metric(installed, namespace) > 8, within_seconds=30, what="the queue depth tells the load")
    eventually(lambda: ready() == 3, within_seconds=90, what="three replicas are ready under load")
    answered = json.loads(installed.finished(load))
    assert answered["failed"] == 0, answered
    assert answered["answered"] > 0
    eventually(lambda: ready() == 1, within_seconds=180, what="one replica is left when the load is gone")
    autoscaler = installed.kubectl.get("hpa", "scaled", namespace)
    assert {c["type"]: c["status"] for c in autoscaler["status"]["conditions"]}["ScalingActive"] == "True"


def metric(installed: Installed, namespace: str) -> float:
    """The queue depth as the API server serves it."""
    path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/shardwright_queue_depth"
    items = json.loads(
        installed.kubectl.run("get", "--raw", f"{path}?labelSelector=shardwright.io/deployment%3Dscaled")
    )["items"]
    assert len(items) == 1, items
    return float(items[0]["value"].removesuffix("m")) / (1000 if items[0]["value"].endswith("m") else 1)
