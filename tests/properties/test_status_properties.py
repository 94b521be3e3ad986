"""Whatever pods look like: no replica is ready that is not whole, and a status is always one that is allowed."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from shardwright.api.reasons import Reason
from shardwright.api.status import InferenceDeploymentStatus
from shardwright.status import ObservedPod, ObservedReplica, Trouble, build_status, health, observe_pod, transitions
from support.situations import LATER, READY, START, plan, situation

times = st.sampled_from(["", START, READY, LATER, "not a time"])
pods = st.builds(
    ObservedPod,
    name=st.sampled_from(["a", "b"]),
    index=st.integers(0, 3),
    phase=st.sampled_from(["Pending", "Running", "Failed", "Succeeded", "Unknown"]),
    ready=st.booleans(),
    ready_since=times,
    terminating=st.booleans(),
    incarnation=st.integers(0, 1),
    restarts=st.integers(0, 2),
    created_at=times,
    started_at=times,
    trouble=st.none() | st.sampled_from([Reason.CRASH_LOOP, Reason.IMAGE_PULL_FAILED]),
)
replicas = st.builds(
    ObservedReplica,
    id=st.integers(0, 300),
    nodes=st.lists(st.sampled_from(["n1", "n2"]), max_size=3).map(tuple),
    group_size=st.integers(1, 3),
    incarnation=st.integers(0, 1),
    pods=st.lists(pods, max_size=4).map(tuple),
)


@given(replicas)
def test_a_ready_replica_has_every_pod_of_its_group_running_and_ready(replica):
    if not health(replica).ready:
        return
    whole = {
        pod.index
        for pod in replica.pods
        if pod.ready and pod.phase == "Running" and not pod.terminating and pod.incarnation == replica.incarnation
    }
    assert set(range(replica.group_size)) <= whole


@settings(deadline=None)
@given(
    st.lists(replicas, max_size=4, unique_by=lambda one: one.id),
    st.integers(0, 5),
    st.booleans(),
    st.none() | st.just(Trouble(Reason.APPLY_REFUSED, "no")),
)
def test_a_status_is_allowed_stands_still_and_claims_no_more_than_is_ready(groups, wanted, planned, trouble):
    given_ = {"replicas": tuple(groups), "wanted": wanted, "plan": plan() if planned else None, "trouble": trouble}
    status = build_status(situation(**given_))
    InferenceDeploymentStatus.model_validate_json(json.dumps(status), strict=True, by_alias=True, by_name=False)
    assert build_status(situation(**given_, previous=status, now=LATER)) == status
    assert transitions(status, status) == ()
    available = next(item for item in status["conditions"] if item["type"] == "Available")
    assert (available["status"] == "True") == (status["readyReplicas"] > 0)
    assert status["readyReplicas"] == sum(health(group).ready for group in groups)


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["conditions", "state", "running", "startedAt", "type"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["labels", "annotations", "name"]), st.none() | st.just({}), max_size=3), odd)
def test_a_pod_with_odd_metadata_reads_as_not_ready(metadata, message):
    pod = {"metadata": metadata, "status": {"message": message}}
    assert observe_pod(pod).ready is False
