"""`shardwright plan` as a user runs it: three forms, a picture, exit statuses, errors that name the place."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import typer
import yaml
from typer.testing import CliRunner

from shardwright.commands.plan import command

EXAMPLES = Path(__file__).parents[3] / "examples"
FLEET = EXAMPLES / "nodes-mixed-fleet.yaml"
app = typer.Typer()
app.command()(command)


def run(*words: str):
    return CliRunner().invoke(app, [*words])


@pytest.mark.parametrize("path", sorted({*EXAMPLES.glob("**/*.yaml")} - {FLEET}), ids=lambda path: path.stem)
def test_every_example_is_planned_on_the_example_fleet(path: Path):
    result = run("-f", str(path), "--nodes", str(FLEET), "-o", "json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["placements"]


def test_the_three_forms_say_the_same(tmp_path: Path):
    words = ("-f", str(EXAMPLES / "dense-405b.yaml"), "--nodes", str(FLEET))
    record = json.loads(run(*words, "-o", "json").stdout)
    assert yaml.safe_load(run(*words, "-o", "yaml").stdout) == record
    (placement,) = record["placements"]
    sizes = [placement[key] for key in ("tensor", "pipeline", "data", "nodesPerReplica", "gpusPerReplica")]
    assert sizes == [8, 2, 1, 2, 16]
    table = run(*words, "--picture", str(tmp_path / "plan.svg"))
    assert record["why"] in table.stdout
    assert ElementTree.parse(tmp_path / "plan.svg").getroot().tag.endswith("svg")


def test_bad_input_ends_with_two_and_says_where(tmp_path: Path):
    broken = tmp_path / "cr.yaml"
    broken.write_text(
        "apiVersion: shardwright.io/v1alpha1\nkind: InferenceDeployment\nmetadata: {name: x}\n"
        "spec: {model: {id: Qwen/Qwen3-8B}, layout: {data: 2}}\n"
    )
    result = run("-f", str(broken), "--nodes", str(FLEET))
    assert result.exit_code == 2
    assert "spec.layout.data" in result.output
    assert "use replicas instead" in result.output
    assert run("-f", str(tmp_path / "absent.yaml"), "--nodes", str(FLEET)).exit_code == 2


def test_nothing_fits_ends_with_three_and_says_what_would(tmp_path: Path):
    large = tmp_path / "cr.yaml"
    large.write_text(
        "apiVersion: shardwright.io/v1alpha1\nkind: InferenceDeployment\nmetadata: {name: x}\n"
        "spec: {model: {id: deepseek-ai/DeepSeek-V3}, placement: {gpuProducts: [L40S]}}\n"
    )
    result = run("-f", str(large), "--nodes", str(FLEET))
    assert result.exit_code == 3
    assert "more L40S" in result.output
