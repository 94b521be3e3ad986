"""GPUs that only ResourceSlices offer: claimed by attribute, allocated by the real scheduler, never twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import deployments as infd
from support.cluster import ControlPlane
from support.deployments import StartOperator
from support.devices import PCIE_ROOT, device_class, resource_slice
from support.kubectl import Object
from support.waiting import eventually

H100, L40S = "NVIDIA H100 80GB HBM3", "NVIDIA L40S"
ROOTS = ["pci0000:00", "pci0000:00", "pci0000:80", "pci0000:80"]
PAIR = {"model": infd.SMALL, "replicas": 1, "layout": {"tensor": 2, "pipeline": 1}}
EIGHT = {"model": infd.LARGE, "replicas": 1, "layout": {"tensor": 8, "pipeline": 1}}


@pytest.fixture
def devices(cluster: ControlPlane) -> Iterator[ControlPlane]:
    """A control plane with NVIDIA's DeviceClass; slices and the class are gone afterwards."""
    cluster.kubectl.apply(device_class())
    yield cluster
    cluster.kubectl.run("delete", "resourceslices,deviceclasses", "--all", "--wait=true")


def add_node(cluster: ControlPlane, name: str, *slices: Object) -> None:
    cluster.add_node(name)
    cluster.kubectl.apply(*slices)


def held(cluster: ControlPlane, namespace: str) -> dict[str, list[str]]:
    """By claim, the devices that the scheduler gave it, each with its node."""
    found = {}
    for claim in cluster.kubectl.list("resourceclaims", namespace):
        results = claim.get("status", {}).get("allocation", {}).get("devices", {}).get("results", [])
        found[claim["metadata"]["name"]] = [f"{one['pool']}/{one['device']}" for one in results]
    return found


def test_a_node_is_known_by_its_slice_and_its_gpus_are_claimed(
    devices: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    add_node(devices, "dra-a", resource_slice("dra-a", H100, "81559Mi", 8))
    start_operator()
    infd.apply(devices, namespace, "one", **EIGHT)
    found = infd.wait_available(devices, namespace, "one", 1)
    assert found["status"]["gpu"] == "H100-SXM"
    assert infd.nodes_of(found) == {0: ["dra-a"]}
    (taken,) = held(devices, namespace).values()
    assert sorted(taken) == [f"dra-a/gpu-{index}" for index in range(8)]
    (pod,) = infd.pods(devices, namespace, "one").values()
    resources = pod["spec"]["containers"][0]["resources"]
    assert "nvidia.com/gpu" not in {**resources.get("limits", {}), **resources.get("requests", {})}
    assert resources["claims"] == [{"name": "gpus"}]
    infd.wait_for(devices, namespace, "one", "Degraded", "False")

    infd.apply(devices, namespace, "other", **EIGHT)
    infd.wait_for(devices, namespace, "other", "Planned", "False", "WaitingForGpus")
    devices.kubectl.delete(infd.KIND, "one", namespace=namespace)
    infd.wait_available(devices, namespace, "other", 1)
    eventually(lambda: len(held(devices, namespace)) == 1, what="the first claim is gone with its pod")


def test_a_pair_is_claimed_under_one_root_and_nobody_gets_a_device_twice(
    devices: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    add_node(devices, "dra-b", resource_slice("dra-b", L40S, "46068Mi", 4, roots=ROOTS))
    start_operator()
    for name in ("one", "other"):
        infd.apply(devices, namespace, name, **PAIR)
    for name in ("one", "other"):
        infd.wait_available(devices, namespace, name, 1)
    taken = [sorted(names) for names in held(devices, namespace).values()]
    assert sorted(taken) == [["dra-b/gpu-0", "dra-b/gpu-1"], ["dra-b/gpu-2", "dra-b/gpu-3"]]
    templates = devices.kubectl.list("resourceclaimtemplates", namespace)
    asked = [template["spec"]["spec"]["devices"] for template in templates]
    assert [one["constraints"] for one in asked] == [[{"requests": ["gpus"], "matchAttribute": PCIE_ROOT}]] * 2
    infd.apply(devices, namespace, "third", **PAIR)
    infd.wait_for(devices, namespace, "third", "Planned", "False", "WaitingForGpus")


def test_claims_of_others_count_and_slices_may_come_later(
    devices: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    infd.apply(devices, namespace, "late", **EIGHT)
    infd.wait_for(devices, namespace, "late", "Planned", "False", "NoLayout")
    exactly = {"deviceClassName": "gpu.nvidia.com", "count": 1}
    spec = {"devices": {"requests": [{"name": "gpu", "exactly": exactly}]}}
    api = "resource.k8s.io/v1"
    claim = {
        "apiVersion": api,
        "kind": "ResourceClaim",
        "metadata": {"name": "mine", "namespace": namespace},
        "spec": spec,
    }
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mine", "namespace": namespace},
        "spec": {
            "resourceClaims": [{"name": "gpu", "resourceClaimName": "mine"}],
            "containers": [{"name": "main", "image": "x", "resources": {"claims": [{"name": "gpu"}]}}],
        },
    }  # fmt: skip
    add_node(devices, "dra-c", resource_slice("dra-c", H100, "81559Mi", 8))
    infd.wait_available(devices, namespace, "late", 1)
    devices.kubectl.apply(claim, pod)
    add_node(devices, "dra-d", resource_slice("dra-d", H100, "81559Mi", 8))
    eventually(lambda: held(devices, namespace)["mine"], what="the other pod has its GPU")
    infd.apply(devices, namespace, "more", **EIGHT)
    infd.wait_for(devices, namespace, "more", "Planned", "False", "WaitingForGpus")
    devices.kubectl.run("delete", "pod", "mine", "-n", namespace, "--force", "--grace-period=0")
    devices.kubectl.run("delete", "resourceclaim", "mine", "-n", namespace)
    infd.wait_available(devices, namespace, "more", 1)
