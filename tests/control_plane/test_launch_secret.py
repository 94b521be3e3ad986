"""The Secret by which an MPI group's pods know each other: random, made once, by an operator that may read none."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from support import deployments as infd
from support.cluster import ControlPlane
from support.deployments import StartOperator
from support.kubectl import KubectlError
from support.waiting import eventually

WORLD: dict[str, Any] = {
    "model": infd.LARGE,
    "engine": {"name": "trtllm"},
    "replicas": 1,
    "layout": {"tensor": 8, "pipeline": 2, "nodesPerReplica": 2},
}


@pytest.fixture
def fleet(cluster: ControlPlane) -> ControlPlane:
    """Two H100 nodes with 8 GPUs each."""
    for name in ("h100-a", "h100-b"):
        cluster.add_gpu_node(name, "h100", annotations={"shardwright.io/gpu-link": "nvswitch"})
    return cluster


def launch_secrets(cluster: ControlPlane, namespace: str) -> dict[str, str]:
    found = cluster.kubectl.list("secrets", namespace, "shardwright.io/deployment=world")
    return {item["metadata"]["name"]: base64.b64decode(item["data"]["secret"]).decode() for item in found}


def test_a_group_gets_one_secret_and_keeps_it(
    fleet: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    infd.apply(fleet, namespace, "world", **WORLD)
    deployment = infd.wait_available(fleet, namespace, "world", 1)
    ((name, content),) = launch_secrets(fleet, namespace).items()
    assert name == f"world-launch-{deployment['metadata']['uid'][:8]}"
    assert len(bytes.fromhex(content)) == 32
    secret = fleet.kubectl.get("secret", name, namespace)
    assert secret
    assert secret["immutable"] is True
    assert [owner["uid"] for owner in secret["metadata"]["ownerReferences"]] == [deployment["metadata"]["uid"]]

    fleet.kubectl.run("delete", "statefulset", "world-0", "-n", namespace)
    eventually(lambda: fleet.kubectl.get("statefulset", "world-0", namespace), what="the set comes back")
    infd.wait_available(fleet, namespace, "world", 1)
    assert launch_secrets(fleet, namespace) == {name: content}

    fleet.kubectl.run("delete", "secret", name, "-n", namespace)
    fleet.kubectl.run("delete", "statefulset", "world-0", "-n", namespace)
    eventually(lambda: launch_secrets(fleet, namespace), what="a lost one is made anew with the set")
    assert launch_secrets(fleet, namespace)[name] != content


def test_the_operator_may_make_secrets_and_not_read_them(control_plane: ControlPlane, operator_account: str) -> None:
    account = f"--as=system:serviceaccount:shardwright-system:{operator_account}"

    def may(verb: str) -> bool:
        try:
            return (
                control_plane.kubectl.run("auth", "can-i", verb, "secrets", "-n", "default", account).strip() == "yes"
            )
        except KubectlError:  # how it says no
            return False

    verbs = ("create", "get", "list", "watch", "update", "patch", "delete")
    assert [verb for verb in verbs if may(verb)] == ["create"]
