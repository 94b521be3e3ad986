"""Engines that fail on real kubelets: status tells what ended them, in words that stand above the last traceback."""

from __future__ import annotations

from typing import Any

from support.installed import SMALL, Installed, condition
from support.waiting import eventually

OVER_TWO_NODES = {
    "model": {"id": "meta-llama/Llama-3.3-70B-Instruct"},
    "objective": {"contextLength": 16384},
    "layout": {"tensor": 4, "pipeline": 2, "nodesPerReplica": 2},
    "placement": {"gpuProducts": ["H100-SXM"]},
    "replicas": 1,
    "restart": {"budget": 0},
}


def faulty(spec: dict[str, Any], **knobs: str) -> dict[str, Any]:
    env = [{"name": f"FAKE_ENGINE_{name}", "value": value} for name, value in knobs.items()]
    return {**spec, "engine": {"env": env}}


def test_a_lost_gpu_and_a_start_that_never_ends_are_named_and_final(installed: Installed) -> None:
    namespace = installed.namespace()
    installed.apply("wide", namespace, faulty(OVER_TWO_NODES, LOAD_FAILS="xid", FAULT_RANK="1"))
    slow = {**SMALL, "startupTimeout": "30s", "restart": {"budget": 0}}
    installed.apply("slow", namespace, faulty(slow, UNREADY="1"))

    def given_up(name: str, *words: str) -> bool:
        found = installed.get(name, namespace)
        wrong = condition(found, "Degraded")
        told = wrong.get("reason") == "RestartBudgetSpent" and found["status"]["state"].startswith("Failed: ")
        return told and all(word in wrong["message"] for word in words)

    lost = ("GpuLost: pod wide-0-1", "exit code 1", "CUDA error: uncorrectable ECC error encountered")
    eventually(lambda: given_up("wide", *lost), within_seconds=120, what="the follower's GPU is named")
    never = ("StartupTimeout: pod slow-0-0", "within 30 s of its start")
    eventually(lambda: given_up("slow", *never), within_seconds=90, what="the start that never ends is named")
    assert {pod["metadata"]["name"] for pod in installed.kubectl.list("pods", namespace)} >= {"wide-0-0", "wide-0-1"}
