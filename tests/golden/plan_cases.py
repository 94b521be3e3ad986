"""Golden plans: a fleet in short form and a spec in `plans/<case>.yaml`, the decision as text in `plans/<case>.txt`."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from shardwright.api.parse import parse_spec
from shardwright.api.spec import InferenceDeploymentSpec
from shardwright.catalog.model_rows import bundled_configs
from shardwright.inventory import Inventory, NodeFacts, SkippedNode, build_inventory, read_node, read_usage
from shardwright.models.parse import parse_config
from shardwright.models.profile import ModelProfile
from shardwright.plan import explain
from shardwright.plan.choose import choose
from shardwright.plan.request import plan_request
from shardwright.plan.types import Plan, PlanRequest
from support.nodes import node

FOLDER = Path(__file__).parent / "plans"
CONFIGS = json.loads((FOLDER / "configs.json").read_text("utf-8"))
"""Numbers of models that the bundled catalogue does not have."""
LISTED = 6
"""Losing layouts shown in a decision."""


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(name: str) -> dict[str, Any]:
    case: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8"))
    return case


def decision(name: str) -> str:
    """The decision as a reviewer reads it."""
    case = load(name)
    plan = plan_of(case)
    return f"# {case['about']}\n" + "\n".join(lines_of(plan)) + "\n"


def plan_of(case: Mapping[str, Any]) -> Plan:
    return choose(request_of(case["spec"]), fleet(case["fleet"]))


def request_of(raw: Mapping[str, Any]) -> PlanRequest:
    spec = parse_spec(raw)
    assert isinstance(spec, InferenceDeploymentSpec), spec
    request = plan_request(spec, profile_of(spec))
    assert isinstance(request, PlanRequest), request
    return request


def profile_of(spec: InferenceDeploymentSpec) -> ModelProfile:
    config = CONFIGS.get(spec.model.id) or bundled_configs()[spec.model.id]["config"]
    return parse_config(config, model_id=spec.model.id, quantization=spec.model.quantization)


def fleet(rows: list[Mapping[str, Any]]) -> Inventory:
    facts: list[NodeFacts] = []
    skipped: list[SkippedNode] = []
    usage = []
    for raw, pods in (pair for row in rows for pair in objects(row)):
        read = read_node(raw)
        (facts if isinstance(read, NodeFacts) else skipped).append(read)  # type: ignore[arg-type]
        usage += [pod for pod in map(read_usage, pods) if pod]
    return build_inventory(facts, skipped, usage)


def objects(row: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Nodes of one row, each with the pods that hold GPUs on it."""
    major, _, minor = str(row.get("compute", "9.0")).partition(".")
    labels = {
        "nvidia.com/gpu.product": row["product"],
        "nvidia.com/gpu.memory": str(row["memory"]),
        "nvidia.com/gpu.count": str(row["gpus"]),
        "nvidia.com/gpu.compute.major": major,
        "nvidia.com/gpu.compute.minor": minor,
        **row.get("labels", {}),
    }
    annotations = {f"shardwright.io/{key}": str(value) for key, value in row.get("annotations", {}).items()}
    for number in range(1, row.get("count", 1) + 1):
        name = f"{row['name']}-{number}"
        gpus = {"nvidia.com/gpu": str(row["gpus"])}
        taints = row.get("taints")
        raw = node(name, labels=labels, annotations=annotations, allocatable=gpus, taints=taints)
        used = row.get("used", 0)
        yield raw, [_pod(name, used)] if used else []


def _pod(name: str, gpus: int) -> dict[str, Any]:
    limits = {"nvidia.com/gpu": str(gpus)}
    resources = {"limits": limits, "requests": limits}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"other-{name}", "namespace": "other"},
        "spec": {"nodeName": name, "containers": [{"name": "main", "resources": resources}]},
        "status": {"phase": "Running"},
    }


def lines_of(plan: Plan) -> Iterator[str]:
    yield plan.why
    if plan.nearest:
        yield plan.nearest
    for placement in plan.placements:
        yield f"{placement.pool}: {placement.replicas} of at most {placement.max_replicas} × {placement.layout.text}"
        for number, nodes in enumerate(placement.replica_nodes):
            yield f"  replica {number}: {' + '.join(nodes)}"
    if plan.rejected:
        yield "rejected:"
        yield from (f"  {explain.rejection(lost)}" for lost in plan.rejected[:LISTED])
    if plan.assumptions:
        yield "assumed:"
        yield from (f"  {line}" for line in plan.assumptions)
