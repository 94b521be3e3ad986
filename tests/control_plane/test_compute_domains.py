"""NVLink between nodes: a ComputeDomain for each group, and pods that claim its channel, on nodes of one domain."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import deployments as infd
from support.cluster import ControlPlane
from support.deployments import StartOperator
from support.kubectl import Object
from support.nodes import nvidia_labels
from support.waiting import eventually

GB200 = nvidia_labels("NVIDIA-GB200", 189471, 4, compute="10.0", family="blackwell")
EIGHT = {"model": infd.LARGE, "replicas": 1, "layout": {"tensor": 8, "pipeline": 1}}
CHANNELS = "compute-domain.nvidia.com"
CHANNEL_CLASS = "compute-domain-default-channel.nvidia.com"
DEFINITION: Object = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "computedomains.resource.nvidia.com"},
    "spec": {
        "group": "resource.nvidia.com",
        "scope": "Namespaced",
        "names": {"kind": "ComputeDomain", "plural": "computedomains", "singular": "computedomain"},
        "versions": [
            {
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["channel"],
                                "x-kubernetes-validations": [{"rule": "self == oldSelf"}],
                                "properties": {
                                    "numNodes": {"type": "integer", "minimum": 0, "default": 0},
                                    "channel": {
                                        "type": "object",
                                        "required": ["resourceClaimTemplate"],
                                        "properties": {
                                            "allocationMode": {"type": "string", "enum": ["All", "Single"]},
                                            "resourceClaimTemplate": {
                                                "type": "object",
                                                "required": ["name"],
                                                "properties": {"name": {"type": "string"}},
                                            },
                                        },
                                    },
                                },
                            }
                        },
                    }
                },
            }
        ],
    },
}
"""What of NVIDIA's definition an operator can run into."""


@pytest.fixture
def racks(cluster: ControlPlane) -> Iterator[ControlPlane]:
    """One node of a rack alone and two of another, with channels, where ComputeDomains are served."""
    cluster.kubectl.apply(DEFINITION)
    cluster.kubectl.run("wait", "crd", "computedomains.resource.nvidia.com", "--for=condition=Established")
    selector = {"cel": {"expression": f"device.driver == '{CHANNELS}'"}}
    cluster.kubectl.apply({
        "apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": CHANNEL_CLASS},
        "spec": {"selectors": [selector]},
    })  # fmt: skip
    for name, clique in (("gb200-a-1", "a.1"), ("gb200-b-1", "b.1"), ("gb200-b-2", "b.1")):
        cluster.add_gpu_node(name, "", gpus=4, labels={**GB200, "nvidia.com/gpu.clique": clique})
        cluster.kubectl.apply({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": f"{name}-channels"},
            "spec": {
                "driver": CHANNELS, "nodeName": name, "devices": [{"name": "channel-0"}],
                "pool": {"name": name, "generation": 1, "resourceSliceCount": 1},
            },
        })  # fmt: skip
    yield cluster
    cluster.kubectl.run("delete", "resourceslices,deviceclasses", "--all", "--wait=true")
    cluster.kubectl.delete("crd", "computedomains.resource.nvidia.com")


def make_channel(cluster: ControlPlane, domain: Object) -> None:
    """What NVIDIA's controller does for a ComputeDomain: the claim template that it names."""
    request = {"name": "channel", "exactly": {"deviceClassName": CHANNEL_CLASS, "count": 1}}
    cluster.kubectl.apply({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate",
        "metadata": {
            "name": domain["spec"]["channel"]["resourceClaimTemplate"]["name"],
            "namespace": domain["metadata"]["namespace"],
        },
        "spec": {"spec": {"devices": {"requests": [request]}}},
    })  # fmt: skip


def test_a_group_gets_a_domain_and_its_pods_claim_the_channel(
    racks: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    infd.apply(racks, namespace, "wide", **EIGHT)
    (domain,) = eventually(lambda: racks.kubectl.list("computedomains", namespace), what="its ComputeDomain")
    assert domain["spec"] == {
        "numNodes": 2,
        "channel": {"resourceClaimTemplate": {"name": "wide-0-nvlink-2-channel"}, "allocationMode": "Single"},
    }
    make_channel(racks, domain)
    found = infd.wait_available(racks, namespace, "wide", 1)
    assert sorted(infd.nodes_of(found)[0]) == ["gb200-b-1", "gb200-b-2"]
    pods = infd.pods(racks, namespace, "wide").values()
    assert [pod["spec"]["containers"][0]["resources"]["claims"] for pod in pods] == [[{"name": "nvlink"}]] * 2
    claims = racks.kubectl.list("resourceclaims", namespace)
    given = [claim["status"]["allocation"]["devices"]["results"][0]["pool"] for claim in claims]
    assert sorted(given) == ["gb200-b-1", "gb200-b-2"]
    assert "each replica of several pods gets a ComputeDomain" in " ".join(found["status"]["plan"]["assumptions"])

    infd.apply(racks, namespace, "more", **EIGHT)
    infd.wait_for(racks, namespace, "more", "Planned", "False", "WaitingForGpus")
    racks.kubectl.delete(infd.KIND, "wide", namespace=namespace)
    eventually(
        lambda: (
            [one["metadata"]["name"] for one in racks.kubectl.list("computedomains", namespace)] == ["more-0-nvlink-2"]
        ),
        what="the domain goes with its deployment",
    )


def test_where_none_is_served_the_domain_does_not_count_and_that_is_said(
    cluster: ControlPlane, namespace: str, start_operator: StartOperator
) -> None:
    for name in ("gb200-b-1", "gb200-b-2"):
        cluster.add_gpu_node(name, "", gpus=4, labels={**GB200, "nvidia.com/gpu.clique": "b.1"})
    start_operator()
    infd.apply(cluster, namespace, "wide", **EIGHT)
    found = infd.wait_available(cluster, namespace, "wide", 1)
    assert "serves no ComputeDomain" in " ".join(found["status"]["plan"]["assumptions"])
    assert not cluster.kubectl.list("resourceclaims", namespace)
