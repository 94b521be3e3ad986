"""What nodes say of adapters, RDMA devices, CPUs and memory reaches pods when they are planned, and restarts none."""

from __future__ import annotations

from typing import Any

from support import deployments as infd
from support.cluster import ControlPlane
from support.deployments import StartOperator
from support.kubectl import Object
from support.waiting import eventually, steadily

SAID = {
    "shardwright.io/net-kind": "infiniband",
    "shardwright.io/net-bandwidth-per-gpu": "400Gb/s",
    "shardwright.io/gpu-nics": "0-3=mlx5_0;4-7=mlx5_1",
    "shardwright.io/gpu-numa": "0-3=0;4-7=1",
}
OVER_TWO: dict[str, Any] = {"model": infd.LARGE, "replicas": 1, "layout": {"nodesPerReplica": 2}}


def node(cluster: ControlPlane, name: str, annotations: dict[str, str] | None = None) -> None:
    cluster.add_gpu_node(name, "h100", annotations=annotations)
    for field in ("capacity", "allocatable"):
        cluster.kubectl.run(
            "patch", "node", name, "--subresource=status", "--type=merge",
            "-p", f'{{"status": {{"{field}": {{"rdma/ib": "63"}}}}}}',
        )  # fmt: skip


def engine(cluster: ControlPlane, namespace: str, name: str) -> Object:
    found = cluster.kubectl.get("statefulset", f"{name}-0", namespace)
    return dict(found["spec"]["template"]["spec"]["containers"][0]) if found else {}


def variable(container: Object, name: str) -> str | None:
    return next((entry["value"] for entry in container["env"] if entry["name"] == name), None)


def test_a_group_is_told_and_runs(cluster: ControlPlane, namespace: str, start_operator: StartOperator) -> None:
    for name in ("a", "b"):
        node(cluster, name, SAID)
    start_operator()
    infd.apply(cluster, namespace, "group", **OVER_TWO)
    infd.wait_available(cluster, namespace, "group", 1)
    container = engine(cluster, namespace, "group")
    assert variable(container, "NCCL_IB_HCA") == "=mlx5_0,mlx5_1"
    assert container["resources"]["limits"]["rdma/ib"] == "1"
    assert container["securityContext"]["capabilities"]["add"] == ["IPC_LOCK"]
    assert {"cpu", "memory"} <= set(container["resources"]["requests"])
    assert not {"cpu", "memory"} & set(container["resources"]["limits"])
    pods = infd.pods(cluster, namespace, "group")
    assert {pod["spec"]["nodeName"] for pod in pods.values()} == {"a", "b"}


def test_nodes_that_are_annotated_later_restart_nothing_and_the_next_plan_knows(
    cluster: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    for name in ("a", "b"):
        node(cluster, name, {key: value for key, value in SAID.items() if "net" in key})
    start_operator()
    infd.apply(cluster, namespace, "group", **OVER_TWO)
    infd.wait_available(cluster, namespace, "group", 1)
    before = cluster.kubectl.get("statefulset", "group-0", namespace)
    uids = {pod["metadata"]["uid"] for pod in infd.pods(cluster, namespace, "group").values()}
    for name in ("a", "b"):
        words = [f"{key}={value}" for key, value in SAID.items() if "net" not in key]
        cluster.kubectl.run("annotate", "node", name, *words)

    def stands() -> bool:
        now = cluster.kubectl.get("statefulset", "group-0", namespace)
        pods = infd.pods(cluster, namespace, "group").values()
        return now["spec"] == before["spec"] and {pod["metadata"]["uid"] for pod in pods} == uids

    steadily(stands, for_seconds=6)
    assert variable(before["spec"]["template"]["spec"]["containers"][0], "NCCL_IB_HCA") is None

    cluster.kubectl.patch(infd.KIND, "group", {"spec": {"objective": {"contextLength": 4096}}}, namespace)
    eventually(
        lambda: variable(engine(cluster, namespace, "group"), "NCCL_IB_HCA") == "=mlx5_0,mlx5_1", within_seconds=30
    )
