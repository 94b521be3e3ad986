"""From a situation to what users read: nothing is claimed that is not seen, nothing is rewritten without a change."""

import json

import pytest

from shardwright.api.problems import FieldProblem
from shardwright.api.reasons import Reason
from shardwright.api.status import CONDITIONS, InferenceDeploymentStatus
from shardwright.plan.types import Plan
from shardwright.status import ScalerView, Trouble, build_status, transitions
from support.situations import LATER, NOW, no_plan, plan, pod, replica, situation, spec

REFUSED = (
    FieldProblem("spec.adapters", Reason.NOT_SUPPORTED_YET, "LoRA adapters are not served yet: remove adapters"),
)
NOTHING_FITS = no_plan(Reason.NO_LAYOUT, "weights need 3 more L40S")
NEW = {"spec": None, "plan": None, "plan_hash": "", "wanted": 0, "replicas": ()}
BROKEN = replica(pod(), pod(1, started_at=LATER, restarts=1))
SCALED = spec(autoscaling={"maxReplicas": 4})
SUSPENDED = {"spec": spec(suspend=True), "replicas": (), "wanted": 1}

CASES = [
    (
        "one replica serves",
        {},
        {
            "Accepted": "SpecValid",
            "Planned": "Planned",
            "Available": "AllReplicasReady",
            "Degraded": "-Stable",
            "Progressing": "-Stable",
            "LayoutOptimal": "BestLayoutRuns",
            "ScalingActive": "-AutoscalingDisabled",
        },
        "Available",
    ),
    (
        "one of two serves, one starts",
        {"wanted": 2, "plan": plan(2), "replicas": (replica(pod()), replica(pod(ready=False), number=1))},
        {"Available": "SomeReplicasReady", "Progressing": "ReplicasStarting", "Degraded": "-Stable"},
        "ReplicasStarting",
    ),
    (
        "first start",
        {"replicas": (replica(pod(ready=False)),)},
        {"Available": "-ReplicasStarting", "Progressing": "ReplicasStarting", "Degraded": "-Stable"},
        "ReplicasStarting",
    ),
    (
        "a follower died",
        {"replicas": (BROKEN,)},
        {"Available": "-PodRestarted", "Degraded": "PodRestarted"},
        "Failing: PodRestarted: replica 0: pod qwen-0-1: ",
    ),
    (
        "one serves, a follower of the other died",
        {"wanted": 2, "plan": plan(2), "replicas": (BROKEN, replica(pod(), number=1))},
        {"Available": "SomeReplicasReady", "Degraded": "PodRestarted"},
        "Degraded: PodRestarted: replica 0: ",
    ),
    (
        "nothing fits",
        {"plan": NOTHING_FITS, "replicas": ()},
        {"Planned": "-NoLayout", "Available": "-NoLayout", "Degraded": "NoLayout", "LayoutOptimal": "?NoLayout"},
        "NoLayout: weights need 3 more L40S",
    ),
    (
        "GPUs are taken",
        {"plan": no_plan(Reason.WAITING_FOR_GPUS, "4 H100-SXM must become free"), "replicas": ()},
        {"Planned": "-WaitingForGpus", "Degraded": "WaitingForGpus"},
        "WaitingForGpus: 4 H100-SXM must become free",
    ),
    (
        "room for one of three",
        {"wanted": 3},
        {"Available": "SomeReplicasReady", "Degraded": "WaitingForGpus"},
        "Degraded: WaitingForGpus: 1 of 3 replicas have GPUs",
    ),
    (
        "refused from the start",
        NEW | {"problems": REFUSED},
        {"Accepted": "-NotSupportedYet", "Planned": "?NotSupportedYet", "Available": "-NotSupportedYet"},
        "NotSupportedYet: spec.adapters: LoRA adapters",
    ),
    (
        "refused while an older one runs",
        {"problems": REFUSED},
        {"Accepted": "-NotSupportedYet", "Available": "AllReplicasReady"},
        "Available (new spec refused: spec.adapters)",
    ),
    (
        "suspended",
        SUSPENDED,
        {"Available": "-Suspended", "Progressing": "-Suspended", "Degraded": "-Stable"},
        "Suspended",
    ),
    (
        "scaled to zero",
        {"wanted": 0, "replicas": ()},
        {"Available": "-ScaledToZero", "Degraded": "-Stable"},
        "ScaledToZero",
    ),
    ("rolling out", {"outdated": 1}, {"Progressing": "RollingOut", "Available": "AllReplicasReady"}, "RollingOut"),
    (
        "a surplus replica goes",
        {"replicas": (replica(pod()), replica(pod(), number=1))},
        {"Progressing": "RollingOut"},
        "Available",
    ),
    (
        "an apply was refused",
        {"trouble": Trouble(Reason.APPLY_REFUSED, "quota")},
        {"Degraded": "ApplyRefused", "Available": "AllReplicasReady"},
        "Degraded: ApplyRefused: quota",
    ),
    ("a better layout is known", {"better": "TP2 on L40S"}, {"LayoutOptimal": "-BetterLayoutKnown"}, "Available"),
    (
        "the autoscaler works",
        {"spec": SCALED, "scaler": ScalerView(True)},
        {"ScalingActive": "AutoscalingManaged"},
        "Available",
    ),
    (
        "the autoscaler has no figures",
        {"spec": SCALED, "scaler": ScalerView(False, "no fresh figure")},
        {"ScalingActive": "-MetricsUnavailable"},
        "Available",
    ),
    (
        "the autoscaler has no figures before anything runs",
        {"spec": SCALED, "scaler": ScalerView(False, "no leader"), "replicas": ()},
        {"ScalingActive": "?AutoscalingManaged"},
        "NoReplicaReady",
    ),
    ("the autoscaler is new", {"spec": SCALED}, {"ScalingActive": "?AutoscalingManaged"}, "Available"),
    (
        "the autoscaler is the user's",
        {"spec": spec(autoscaling={"mode": "External"})},
        {"ScalingActive": "?AutoscalingExternal"},
        "Available",
    ),
]
SIGNS = {"True": "", "False": "-", "Unknown": "?"}


def shown(status):
    return {item["type"]: SIGNS[item["status"]] + item["reason"] for item in status["conditions"]}


@pytest.mark.parametrize(("name", "fields", "conditions", "state"), CASES, ids=[case[0] for case in CASES])
def test_what_users_read(name, fields, conditions, state):
    status = build_status(situation(**fields))
    assert {kind: shown(status)[kind] for kind in conditions} == conditions
    assert status["state"].startswith(state)
    assert [item["type"] for item in status["conditions"]] == list(CONDITIONS)


@pytest.mark.parametrize(("name", "fields"), [case[:2] for case in CASES], ids=[case[0] for case in CASES])
def test_a_status_is_within_its_own_schema_and_stands_when_nothing_changes(name, fields):
    status = build_status(situation(**fields))
    InferenceDeploymentStatus.model_validate_json(json.dumps(status), strict=True, by_alias=True, by_name=False)
    assert build_status(situation(**fields, previous=status, now=LATER)) == status


def test_columns_of_a_healthy_deployment():
    two = {"wanted": 2, "plan": plan(2), "replicas": (replica(pod()), replica(pod(), number=1))}
    status = build_status(situation(**two, derived_replicas=2))
    assert (status["layout"], status["gpu"], status["ready"]) == ("TP4·PP1 × 2", "H100-SXM", "2/2")
    assert status["summary"] == "2 of 2 replicas ready"
    assert status["selector"] == "shardwright.io/deployment=qwen,apps.kubernetes.io/pod-index=0"
    assert status["endpoint"] == "http://qwen.default.svc:8000/v1"
    assert (status["replicas"], status["readyReplicas"], status["derivedReplicas"]) == (2, 2, 2)


def test_the_selector_stands_in_the_first_status_even_of_a_refused_spec():
    status = build_status(situation(**NEW, problems=REFUSED))
    assert status["selector"]
    assert (status["replicas"], status["layout"], status["ready"]) == (0, "-", "0/0")


def test_a_leader_on_its_way_out_is_no_replica():
    leaving = replica(pod(terminating=True))
    assert build_status(situation(replicas=(leaving,)))["replicas"] == 0


def test_the_time_of_a_condition_moves_with_its_status_only():
    first = build_status(situation())
    second = build_status(situation(wanted=2, now=LATER, previous=first))
    times = {item["type"]: (item["lastTransitionTime"], item["reason"]) for item in second["conditions"]}
    assert times["Available"] == (NOW, "SomeReplicasReady")
    assert times["Degraded"] == (LATER, "WaitingForGpus")


def test_the_plan_tells_what_and_why():
    lost = no_plan(Reason.NO_LAYOUT, "").rejected
    section = build_status(situation(plan=plan(rejected=lost, skipped_nodes=(("n1", "UnknownGpu: X"),))))["plan"]
    assert section["placements"][0]["memory"]["kvCacheBytes"] == 57_000
    assert section["rejected"] == [
        {"pool": "l40s-4", "layout": "TP4·PP1", "reason": "WeightsDoNotFit", "needBytes": 140_000, "haveBytes": 120_000}
    ]
    assert section["skippedNodes"] == [{"name": "n1", "why": "UnknownGpu: X"}]
    assert section["computedAt"] == NOW


def test_lists_are_cut_at_their_bounds():
    long = Plan(
        placements=plan().placements * 99, rejected=no_plan(Reason.NO_LAYOUT, "").rejected * 99, assumptions=("a",) * 99
    )
    many = tuple(replica(pod(), number=number) for number in range(300))
    status = build_status(situation(plan=long, replicas=many, wanted=300))
    InferenceDeploymentStatus.model_validate_json(json.dumps(status), strict=True, by_alias=True, by_name=False)
    assert len(status["replicaStates"]) == 256
    assert status["readyReplicas"] == 300


@pytest.mark.parametrize(
    ("name", "before", "after", "notes"),
    [
        ("nothing to a first start", None, {"replicas": (replica(pod(ready=False)),)}, {("Normal", "Planned")}),
        ("a start ends", {"replicas": (replica(pod(ready=False)),)}, {}, {("Normal", "AllReplicasReady")}),
        ("nothing changes", {}, {}, set()),
        ("a refusal", None, NEW | {"problems": REFUSED}, {("Warning", "NotSupportedYet")}),
        ("a refusal is mended", {"problems": REFUSED}, {}, {("Normal", "SpecValid")}),
        ("a follower dies", {}, {"replicas": (BROKEN,)}, {("Warning", "PodRestarted")}),
        ("a group heals", {"replicas": (BROKEN,)}, {}, {("Normal", "AllReplicasReady"), ("Normal", "Stable")}),
        ("nothing fits", None, {"plan": NOTHING_FITS, "replicas": ()}, {("Warning", "NoLayout")}),
        ("suspended by the user", {}, SUSPENDED, {("Normal", "Suspended")}),
        (
            "the last replica stops answering",
            {},
            {"replicas": (replica(pod(ready=False)),)},
            {("Warning", "ReplicasStarting")},
        ),
        ("another plan", {}, {"plan_hash": "1-def"}, {("Normal", "Planned")}),
        (
            "figures are lost",
            {"spec": SCALED, "scaler": ScalerView(True)},
            {"spec": SCALED, "scaler": ScalerView(False, "stale")},
            {("Warning", "MetricsUnavailable")},
        ),
    ],
)
def test_events_tell_news_and_only_news(name, before, after, notes):
    old = {} if before is None else build_status(situation(**before))
    new = build_status(situation(**after, previous=old, now=LATER))
    found = transitions(old, new)
    assert {(note.type, note.reason) for note in found} == notes
    assert name != "a refusal" or found[0].message.startswith("spec.adapters: ")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "the HPA was unable to compute the replica count: unable to get external metric a/b/&LabelSelector{}: "
            "unable to fetch metrics from external metrics API: qwen-0-0: /metrics does not answer",
            "qwen-0-0: /metrics does not answer",
        ),
        (
            "unable to fetch metrics from external metrics API: the server could not find the requested resource",
            "the server could not find the requested resource: nobody serves its figures; install the chart with "
            "externalMetrics.install=true",
        ),
        ("something else", "something else"),
    ],
)
def test_the_autoscalers_chain_of_errors_is_cut_to_its_cause(said, told):
    status = build_status(situation(spec=SCALED, scaler=ScalerView(False, said)))
    assert {item["type"]: item["message"] for item in status["conditions"]}["ScalingActive"] == told


def test_the_column_stays_readable_and_the_condition_keeps_the_whole():
    status = build_status(situation(plan=no_plan(Reason.NO_LAYOUT, "x" * 2000), replicas=()))
    assert len(status["state"]) == 160
    assert "x" * 2000 in [item["message"] for item in status["conditions"]]
