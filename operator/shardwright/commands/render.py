"""`shardwright render`: the objects that the operator would make for a manifest on these nodes. Changes nothing."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from shardwright.commands.documents import fail, find_deployment, find_profile, read_documents, read_inventory
from shardwright.engines.support import unsupported
from shardwright.inventory import is_expected
from shardwright.manifests.build import (
    DeploymentIdentity,
    ManifestSettings,
    ReplicaAssignment,
    UnrenderableError,
    build,
)
from shardwright.plan.choose import choose
from shardwright.plan.request import plan_request
from shardwright.plan.types import Plan, PlanRequest

NO_LAYOUT = 3
"""Exit status where the question was understood and nothing fits; 2 = the question was not understood."""
NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
UNKNOWN_UID = "00000000-0000-0000-0000-000000000000"
"""Stands in owner references for the UID that the API server would have given."""


class Dumper(yaml.SafeDumper):
    """YAML as people write it: files and other long texts as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Dumper.add_representer(str, _text)


def command(
    file: Annotated[Path, typer.Option("--file", "-f", help="InferenceDeployment manifest; - reads standard input.")],
    nodes: Annotated[Path, typer.Option(help="Nodes and pods: kubectl get nodes,pods -A -o yaml.")],
    expected: Annotated[
        Path | None,
        typer.Option(help="Nodes that an autoscaler may add: a file with expectedPools, such as the chart's values."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="The model's config.json, where the bundled catalogue does not have the model.")
    ] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the objects.")] = "default",
) -> None:
    """Print every object as YAML. Exit status 0 = rendered, 2 = bad input, 3 = nothing fits."""
    if not NAMESPACE.fullmatch(namespace):
        raise fail(f"{namespace!r} can be no namespace: lower-case letters, digits and '-', at most 63")
    documents = read_documents(file)
    name, spec = find_deployment(documents, file)
    profile = find_profile(spec, documents, config)
    problems = unsupported(spec)
    request = plan_request(spec, profile)
    if problems or not isinstance(request, PlanRequest):
        found = [*problems, *(request if isinstance(request, tuple) else ())]
        raise fail(f"{file} cannot be rendered:\n" + "\n".join(f"  {problem}" for problem in sorted(set(found))))
    plan = choose(request, read_inventory(read_documents(nodes), nodes, expected))
    if not plan.placements:
        typer.echo(f"{name}: {plan.why}", err=True)
        raise typer.Exit(NO_LAYOUT)
    owner = DeploymentIdentity(name, namespace, UNKNOWN_UID)
    try:
        objects = build(owner, spec, profile, plan, assignments(plan), ManifestSettings())
    except UnrenderableError as error:
        raise fail(f"{file}: {error.message}") from error
    typer.echo(to_yaml(objects), nl=False)


def assignments(plan: Plan) -> list[ReplicaAssignment]:
    """Number the plan's replicas in the order of its placements."""
    result: list[ReplicaAssignment] = []
    for index, placement in enumerate(plan.placements):
        for number in range(placement.replicas):
            planned = placement.replica_nodes[number] if number < len(placement.replica_nodes) else ()
            nodes = () if any(map(is_expected, planned)) else planned
            result.append(ReplicaAssignment(len(result), index, nodes))
    return result


def to_yaml(objects: list[dict[str, Any]]) -> str:
    """Write the objects as one stream."""
    return yaml.dump_all(objects, Dumper=Dumper, sort_keys=False, width=120, allow_unicode=True)
