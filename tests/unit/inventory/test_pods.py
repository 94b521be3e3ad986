"""A pod holds GPUs as kube-scheduler counts them."""

import pytest

from shardwright.api import labels
from shardwright.inventory import read_usage
from support.nodes import pod


def container(gpus: int, **more: object) -> dict[str, object]:
    return {"name": "c", "resources": {"requests": {"nvidia.com/gpu": str(gpus)}}, **more}


@pytest.mark.parametrize(
    ("containers", "init", "expected"),
    [
        ([container(2), container(1)], [], 3),
        ([container(2)], [container(4)], 4),
        ([container(4)], [container(2), container(3)], 4),
        ([container(2)], [container(1, restartPolicy="Always")], 3),
        ([container(2)], [container(1, restartPolicy="Always"), container(4)], 5),
        ([container(2)], [container(4), container(1, restartPolicy="Always")], 4),
    ],
    ids=["sum", "init peak", "init below", "sidecar adds", "sidecar adds to later init", "init before sidecar"],
)
def test_counts_init_containers_and_sidecars(containers: list[object], init: list[object], expected: int) -> None:
    made = pod("p", "n1")
    made["spec"] |= {"containers": containers, "initContainers": init}
    usage = read_usage(made)
    assert usage is not None
    assert (usage.resource, usage.gpus) == ("nvidia.com/gpu", expected)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_finished_pods_hold_nothing(phase: str) -> None:
    assert read_usage(pod("p", "n1", phase=phase)) is None


def test_unbound_pods_and_pods_without_gpus_hold_nothing() -> None:
    assert read_usage(pod("p", None)) is None
    assert read_usage(pod("p", "n1", 0)) is None


def test_terminating_pods_hold_theirs() -> None:
    usage = read_usage(pod("p", "n1", 4, terminating=True))
    assert usage is not None
    assert usage.gpus == 4
    assert usage.terminating


def test_a_limit_without_a_request_is_a_request() -> None:
    made = pod("p", "n1")
    made["spec"]["containers"][0]["resources"] = {"limits": {"amd.com/gpu": 2}}
    usage = read_usage(made)
    assert usage is not None
    assert usage.devices == (("amd.com/gpu", 2),)


def test_our_own_pods_are_recognised() -> None:
    own = {labels.DEPLOYMENT: "m", labels.DEPLOYMENT_UID: "u-1", labels.REPLICA: "2"}
    made = pod("m-2-0", "n1", 4, namespace="ml", labels=own)
    made["metadata"]["ownerReferences"] = [{"uid": "other"}, {"uid": "set", "controller": True}]
    usage = read_usage(made)
    assert usage is not None
    assert (usage.deployment, usage.deployment_uid, usage.replica, usage.owner_uid) == ("ml/m", "u-1", 2, "set")
