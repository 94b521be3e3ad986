"""Load makes replicas: the operator asks leaders, a real autoscaler asks the operator, and real objects follow."""

import pytest

from support import deployments as infd
from support.leaders import Leaders
from support.operator_process import free_port
from support.waiting import eventually, steadily

API_SERVICE = "v1beta1.external.metrics.k8s.io"
QUICK = {"scaleDown": {"stabilizationWindowSeconds": 0}}


@pytest.fixture
def scaling_operator(cluster, start_operator):
    """An operator whose external metrics API the API server finds."""
    port = free_port()
    service = cluster.serve_external_metrics_at(port)
    yield start_operator(
        SHARDWRIGHT_EXTERNAL_METRICS_SERVICE=service,
        SHARDWRIGHT_EXTERNAL_METRICS_PORT=str(port),
        SHARDWRIGHT_SCRAPE_SECONDS="1",
    )
    cluster.kubectl.delete("apiservice", API_SERVICE)


def replicas(cluster, namespace, name):
    return infd.get(cluster, namespace, name)["spec"].get("replicas")


def test_from_one_to_three_and_back_and_still_when_leaders_are_silent(cluster, namespace, scaling_operator):
    cluster.add_gpu_node("big", "h100", annotations={"shardwright.io/gpu-link": "nvswitch"})
    metrics = [{"type": "requestsInHand", "target": 4}, {"type": "queueDepth", "target": 4}]
    scaling = {"minReplicas": 1, "maxReplicas": 3, "metrics": metrics, "behavior": QUICK}
    with Leaders(cluster, namespace, "qwen") as leaders:
        infd.apply(cluster, namespace, "qwen", replicas=1, autoscaling=scaling)
        infd.wait_available(cluster, namespace, "qwen", 1)
        cluster.kubectl.run(
            "wait", f"apiservice/{API_SERVICE}", "--for=condition=Available", "--timeout=330s", timeout_seconds=340
        )
        infd.wait_for(cluster, namespace, "qwen", "ScalingActive", within_seconds=60)

        leaders.requests_in_hand, leaders.waiting = 11, 8
        eventually(lambda: replicas(cluster, namespace, "qwen") == 3, within_seconds=60, what="11 in hand, 4 for each")
        infd.wait_available(cluster, namespace, "qwen", 3)

        leaders.requests_in_hand, leaders.waiting = 9, 0
        steadily(
            lambda: replicas(cluster, namespace, "qwen") == 3,
            for_seconds=8,
            what="the queue is empty, and what runs still needs three",
        )

        leaders.requests_in_hand = None
        found = infd.wait_for(cluster, namespace, "qwen", "ScalingActive", "False", "MetricsUnavailable", 90)
        assert "does not answer" in infd.condition(found, "ScalingActive")["message"]
        steadily(lambda: replicas(cluster, namespace, "qwen") == 3, for_seconds=6, what="no scaling without figures")

        leaders.requests_in_hand = 1
        eventually(lambda: replicas(cluster, namespace, "qwen") == 1, within_seconds=60, what="1 in hand needs one")
        infd.wait_available(cluster, namespace, "qwen", 1)
        eventually(lambda: len(infd.pods(cluster, namespace, "qwen")) == 1, what="the others are gone")
        assert leaders.asked > 5
