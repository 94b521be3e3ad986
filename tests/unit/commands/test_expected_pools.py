"""Nodes that do not exist yet on the command line: from a file of their own, from beside the nodes, or refused."""

import json
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from shardwright.commands import plan, render
from support.devices import claim, resource_slice
from support.nodes import node, nvidia_labels

DEPLOYMENT = {
    "apiVersion": "shardwright.io/v1alpha1", "kind": "InferenceDeployment", "metadata": {"name": "small"},
    "spec": {"model": {"id": "Qwen/Qwen3-8B"}, "replicas": 1},
}  # fmt: skip
POOL = {
    "name": "gpu-h100",
    "labels": {"karpenter.sh/nodepool": "gpu-h100", **nvidia_labels("NVIDIA-H100-80GB-HBM3", 81559, 8)},
    "gpus": 8,
    "maxNodes": 2,
}
app = typer.Typer()
app.command("plan")(plan.command)
app.command("render")(render.command)


def run(*words: str):
    return CliRunner().invoke(app, [*words])


def written(folder: Path, name: str, *documents: object) -> str:
    path = folder / name
    path.write_text(yaml.safe_dump_all(documents))
    return str(path)


@pytest.fixture
def wish(tmp_path: Path) -> str:
    return written(tmp_path, "cr.yaml", DEPLOYMENT)


@pytest.fixture
def nothing(tmp_path: Path) -> str:
    return written(tmp_path, "nodes.yaml", node("cpu-1"))


def test_a_plan_on_nodes_to_come_says_so(tmp_path: Path, wish: str, nothing: str):
    values = written(tmp_path, "values.yaml", {"expectedPools": [POOL]})
    found = run("plan", "-f", wish, "--nodes", nothing, "--expected", values, "-o", "json")
    assert found.exit_code == 0, found.output
    record = json.loads(found.stdout)
    assert "of pool gpu-h100 does not exist yet; an autoscaler must add it" in record["why"]
    beside = written(tmp_path, "both.yaml", node("cpu-1"), {"expectedPools": [POOL]})
    assert json.loads(run("plan", "-f", wish, "--nodes", beside, "-o", "json").stdout) == record


def test_what_is_rendered_asks_for_labels_and_no_node(tmp_path: Path, wish: str, nothing: str):
    values = written(tmp_path, "values.yaml", {"expectedPools": [POOL]})
    found = run("render", "-f", wish, "--nodes", nothing, "--expected", values)
    assert found.exit_code == 0, found.output
    assert "karpenter.sh/nodepool" in found.stdout
    assert "expected-1" not in found.stdout


def test_without_them_nothing_is_planned_there(wish: str, nothing: str):
    found = run("plan", "-f", wish, "--nodes", nothing)
    assert found.exit_code == 3
    assert "none is expected" in found.stdout


@pytest.mark.parametrize(
    ("document", "said"),
    [({"pools": []}, "has no expectedPools"), ({"expectedPools": [{"name": "x"}]}, "expectedPools[0].labels")],
)
def test_a_file_without_pools_is_refused(tmp_path: Path, wish: str, nothing: str, document: object, said: str):
    values = written(tmp_path, "values.yaml", document)
    found = run("plan", "-f", wish, "--nodes", nothing, "--expected", values)
    assert found.exit_code == 2
    assert said in found.output


def test_slices_and_claims_beside_the_nodes_are_read(tmp_path: Path, wish: str):
    slices = resource_slice("bare", "NVIDIA H100 80GB HBM3", "81559Mi", 8)
    all_of_them = written(tmp_path, "free.yaml", node("bare"), slices)
    free = json.loads(run("plan", "-f", wish, "--nodes", all_of_them, "-o", "json").stdout)
    held = claim("other", "bare", *(f"gpu-{index}" for index in range(8)))
    taken = written(tmp_path, "taken.yaml", node("bare"), slices, held)
    assert free["placements"][0]["product"] == "H100-SXM"
    assert run("plan", "-f", wish, "--nodes", taken).exit_code == 3
