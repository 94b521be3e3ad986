"""A replica is ready when its whole group runs; each way of not being so has a word and names a pod."""

import pytest

from shardwright.api.reasons import Reason
from shardwright.status import health, observe_pod
from support.situations import LATER, READY, START, pod, replica

FOLLOWER_STARTED_LATE = pod(1, started_at=LATER, restarts=1)


@pytest.mark.parametrize(
    ("case", "group", "reason"),
    [
        ("one pod answers", replica(pod()), Reason.ALL_REPLICAS_READY),
        ("leader answers and follower runs", replica(pod(), pod(1)), Reason.ALL_REPLICAS_READY),
        ("no pod yet", replica(size=2), Reason.REPLICAS_STARTING),
        ("leader not ready yet", replica(pod(ready=False)), Reason.REPLICAS_STARTING),
        ("leader was ready and is not", replica(pod(ready=False, ready_since=LATER)), Reason.POD_NOT_READY),
        ("leader restarts", replica(pod(ready=False, restarts=2, started_at=LATER)), Reason.POD_RESTARTED),
        ("follower gone, leader answers", replica(pod(), size=2), Reason.POD_LOST),
        ("follower is being deleted, leader answers", replica(pod(), pod(1, terminating=True)), Reason.POD_LOST),
        ("follower failed, leader answers", replica(pod(), pod(1, trouble=Reason.POD_LOST)), Reason.POD_LOST),
        (
            "follower not ready, leader answers",
            replica(pod(), pod(1, ready=False, ready_since=LATER)),
            Reason.POD_NOT_READY,
        ),
        ("follower restarted behind its leader's back", replica(pod(), FOLLOWER_STARTED_LATE), Reason.POD_RESTARTED),
        ("follower replaced behind its leader's back", replica(pod(), pod(1, created_at=LATER)), Reason.POD_RESTARTED),
        ("follower restarted while forming", replica(pod(), pod(1, restarts=1)), Reason.ALL_REPLICAS_READY),
        ("follower of another incarnation", replica(pod(), pod(1, incarnation=1)), Reason.POD_LOST),
        ("all of an older incarnation", replica(pod(), pod(1), incarnation=1), Reason.REPLICAS_STARTING),
        (
            "follower still pending",
            replica(pod(ready=False), pod(1, ready=False, phase="Pending")),
            Reason.REPLICAS_STARTING,
        ),
        ("the caller knows better", replica(pod(), trouble=Reason.NODE_LOST, message="node h100-1"), Reason.NODE_LOST),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_health_of_a_group(case, group, reason):
    state = health(group)
    assert state.reason == reason, state
    assert state.ready == (reason is Reason.ALL_REPLICAS_READY)


def test_the_pod_to_look_at_is_named():
    assert "qwen-0-1" in health(replica(pod(), FOLLOWER_STARTED_LATE)).message


def pod_object(status, **metadata):
    return {
        "metadata": {
            "name": "qwen-0-1",
            "creationTimestamp": START,
            "labels": {"apps.kubernetes.io/pod-index": "1"},
            "annotations": {"shardwright.io/incarnation": "2"},
            **metadata,
        },
        "spec": {"nodeName": "h100-1"},
        "status": status,
    }


def waiting(reason, message="", **fields):
    return {
        "containerStatuses": [{"image": "x:1", "state": {"waiting": {"reason": reason, "message": message}}, **fields}]
    }


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        ({"phase": "Running"}, None, ""),
        (waiting("ErrImagePull", "not found"), Reason.IMAGE_PULL_FAILED, "x:1: not found"),
        (
            waiting("ImagePullBackOff", 'Back-off pulling image "x:1": ErrImagePull: not found'),
            Reason.IMAGE_PULL_FAILED,
            "x:1: not found",
        ),
        (
            waiting("CrashLoopBackOff", "back-off 40s", lastState={"terminated": {"exitCode": 3}}),
            Reason.ENGINE_FAILED,
            "code 3",
        ),
        (waiting("CrashLoopBackOff"), Reason.CRASH_LOOP, "again and again"),
        (waiting("CreateContainerConfigError", 'secret "hf" not found'), Reason.CONTAINER_NOT_STARTED, 'secret "hf"'),
        (
            waiting("CrashLoopBackOff", lastState={"terminated": {"reason": "OOMKilled"}}),
            Reason.OUT_OF_MEMORY,
            "memory",
        ),
        (waiting("ContainerCreating"), None, ""),
        ({"phase": "Failed", "reason": "Evicted"}, Reason.POD_EVICTED, "Evicted"),
        (
            {
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
                ]
            },
            Reason.POD_UNSCHEDULABLE,
            "0/3 nodes",
        ),
        (
            {"initContainerStatuses": waiting("ErrImagePull", "denied")["containerStatuses"]},
            Reason.IMAGE_PULL_FAILED,
            "denied",
        ),
    ],
)
def test_what_a_pod_says_of_itself(status, reason, words):
    seen = observe_pod(pod_object(status))
    assert seen.trouble == reason
    assert words in seen.message


def test_a_pod_reads_whole():
    running = {"state": {"running": {"startedAt": START}}, "restartCount": 1}
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": READY}
    seen = observe_pod(pod_object({"phase": "Running", "conditions": [ready], "containerStatuses": [running]}))
    assert (seen.index, seen.incarnation, seen.restarts, seen.ready) == (1, 2, 1, True)
    assert (seen.started_at, seen.ready_since, seen.created_at, seen.node) == (START, READY, START, "h100-1")


@pytest.mark.parametrize(
    "odd", [{}, {"metadata": None, "status": None, "spec": None}, pod_object({"containerStatuses": []})]
)
def test_an_odd_pod_is_one_that_is_not_there_yet(odd):
    assert observe_pod(odd).ready is False
