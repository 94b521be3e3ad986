"""`shardwright render` on the examples: what a user tries first."""

from pathlib import Path

import kubernetes_validate
import pytest
import typer
import yaml
from typer.testing import CliRunner

from shardwright.commands.render import command

EXAMPLES = Path(__file__).parents[3] / "examples"
FLEET = EXAMPLES / "nodes-mixed-fleet.yaml"
DEPLOYMENTS = sorted(path for path in EXAMPLES.glob("*.yaml") if "kind: InferenceDeployment" in path.read_text())


def render(*arguments: str, stdin: str | None = None):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, list(arguments), input=stdin)


@pytest.mark.parametrize("example", DEPLOYMENTS, ids=lambda path: path.stem)
def test_examples_become_valid_objects(example):
    result = render("-f", str(example), "--nodes", str(FLEET), "-n", "models")
    assert result.exit_code == 0, result.output
    objects = list(yaml.safe_load_all(result.stdout))
    assert {document["kind"] for document in objects} >= {"Service", "StatefulSet"}
    for document in objects:
        kubernetes_validate.validate(document, "1.37", strict=True)
        assert document["metadata"]["namespace"] == "models"


def manifest(**spec: object) -> str:
    head = {"apiVersion": "shardwright.io/v1alpha1", "kind": "InferenceDeployment", "metadata": {"name": "x"}}
    return yaml.safe_dump(head | {"spec": {"model": {"id": "Qwen/Qwen3-8B"}} | spec})


def test_refused_fields_are_all_named():
    text = manifest(engine={"args": {"tp": "4", "nonsense": "1"}})
    result = render("-f", "-", "--nodes", str(FLEET), stdin=text)
    assert result.exit_code == 2
    assert "spec.layout" in result.output
    assert "no option nonsense" in result.output


def test_a_program_in_a_config_map_is_readable():
    text = manifest(layout={"nodesPerReplica": 2})
    result = render("-f", "-", "--nodes", str(FLEET), stdin=text)
    assert result.exit_code == 0, result.output
    assert "  member.py: |\n" in result.stdout


def test_nothing_fits_is_status_three():
    text = manifest(placement={"gpuProducts": ["T4"]})
    result = render("-f", "-", "--nodes", str(FLEET), stdin=text)
    assert result.exit_code == 3
    assert result.stdout == ""
