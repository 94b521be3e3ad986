"""Reading a spec: what is refused names its field; nothing that can be written makes it raise."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardwright.api.parse import check_name, parse_spec
from shardwright.api.spec import InferenceDeploymentSpec
from shardwright.api.support import not_supported
from shardwright.reconcile.accept import accept
from shardwright.reconcile.types import ModelFacts
from support.malformed import become_conditions, refused

MODEL = {"model": {"id": "Qwen/Qwen3-8B"}}


def problems_of(manifest):
    name = check_name(manifest["metadata"]["name"])
    parsed = parse_spec(manifest.get("spec"))
    return (*name, *(parsed if isinstance(parsed, tuple) else not_supported(parsed)))


@pytest.mark.parametrize("case", refused(), ids=lambda case: case.name)
def test_what_the_api_server_refuses_is_refused_here_with_the_same_field(case):
    assert case.field in [problem.field for problem in problems_of(case.manifest)]


@pytest.mark.parametrize("case", become_conditions(), ids=lambda case: case.name)
def test_what_the_schema_lets_through_is_refused_by_name_before_it_is_planned(case):
    reason = case.condition.split()[-1]
    if not case.condition.startswith("Accepted"):
        assert problems_of(case.manifest) == ()
        return
    verdict = accept(
        case.manifest["metadata"]["name"],
        case.manifest["spec"],
        ModelFacts(problem="the ConfigMap is not there: make it"),
    )
    assert isinstance(verdict, tuple)
    (problem,) = verdict
    assert problem.field.startswith(case.field)
    assert problem.reason == reason
    assert len(problem.message) > 20


def test_there_are_enough_cases():
    judged_here = [case for case in become_conditions() if case.condition.startswith("Accepted")]
    assert len(refused()) >= 20
    assert len(judged_here) >= 10


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        ({"model": {"id": "a/b", "revison": "main"}}, "spec.model.revison", "did you mean revision"),
        (MODEL | {"placement": {"max_gpus": 3}}, "spec.placement.max_gpus", "unknown field"),
        (MODEL | {"placement": {"tolerations": [{"ky": "x"}]}}, "spec.placement.tolerations[0].ky", "did you mean key"),
        (MODEL | {"engine": {"args": {"a-b": 1}}}, "spec.engine.args.a-b", "valid string (got 1)"),
        (MODEL | {"replicas": "3"}, "spec.replicas", 'got "3"'),
        (MODEL | {"podTemplate": {"volumes": [{"name": {1, 2}}]}}, "spec", "cannot be written as JSON"),
        (None, "spec", "at least model.id"),
        ([], "spec", "at least model.id"),
    ],
)
def test_a_problem_says_where_and_what_to_do(spec, field, words):
    problems = parse_spec(spec)
    assert isinstance(problems, tuple)
    assert words in {problem.field: problem.message for problem in problems}[field]


def test_only_the_model_is_required_and_nothing_in_it_is_unsupported():
    spec = parse_spec(MODEL)
    assert isinstance(spec, InferenceDeploymentSpec)
    assert not_supported(spec) == ()
    assert spec.replicas is None
    assert spec.autoscaling is None


def test_the_example_of_the_design_reads_whole():
    spec = parse_spec(
        MODEL
        | {
            "engine": {"name": "vllm", "version": "0.32.0", "args": {"max-num-seqs": "256"}, "env": [{"name": "A"}]},
            "objective": {"priority": "Cost", "contextLength": 32768, "concurrency": 64},
            "layout": {"tensor": 4, "pipeline": 1, "data": 1, "expert": "Disabled", "nodesPerReplica": 1},
            "placement": {"gpuProducts": ["H100-SXM"], "maxGPUs": 16, "gpuPrices": {"H100-SXM": "2.5"}},
            "replicas": 1,
            "autoscaling": {"maxReplicas": 4, "metrics": [{"type": "queueDepth", "target": 4}], "behavior": {"x": 1}},
            "restart": {"budget": 5, "resetAfter": "10m"},
            "podTemplate": {"labels": {"team": "a"}, "volumes": [{"name": "v", "emptyDir": {}}]},
        }
    )
    assert isinstance(spec, InferenceDeploymentSpec)
    assert spec.placement.max_gpus == 16


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
field_names = st.sampled_from(
    [
        "model",
        "id",
        "source",
        "hub",
        "engine",
        "args",
        "env",
        "layout",
        "tensor",
        "placement",
        "tolerations",
        "replicas",
    ]
)
specs = st.recursive(
    json_values,
    lambda inner: st.dictionaries(field_names, inner, max_size=4) | st.lists(inner, max_size=2),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(specs)
def test_nothing_makes_it_raise(raw):
    answer = parse_spec(raw)
    assert isinstance(answer, InferenceDeploymentSpec) or (1 <= len(answer) <= 16)
    assert not isinstance(answer, tuple) or all(problem.field.startswith("spec") for problem in answer)


@pytest.mark.parametrize("name", ["a", "qwen3-32b", "a" * 40])
def test_names_that_leave_room(name):
    assert check_name(name) == ()


@pytest.mark.parametrize("name", ["", "a" * 41, "8b", "-a", "a-", "A", "a.b", "a_b", "a\n"])
def test_names_that_do_not(name):
    assert [problem.field for problem in check_name(name)] == ["metadata.name"]
