"""The second opinion of `plan --compare silicon`: a clear sentence without the optional package, two ranks with it."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from shardwright.api.spec import Priority
from shardwright.commands import silicon
from shardwright.commands.plan import command
from shardwright.plan.choose import choose, ranking
from support.planning import dense, inventory, pool, request

EXAMPLES = Path(__file__).parents[3] / "examples"
app = typer.Typer()
app.command()(command)


def run(manifest: Path, *words: str):
    fleet = EXAMPLES / "nodes-mixed-fleet.yaml"
    return CliRunner().invoke(app, ["-f", str(manifest), "--nodes", str(fleet), "--compare", "silicon", *words])


@pytest.mark.skipif(silicon.is_installed(), reason="aiconfigurator is installed")
def test_without_the_package_one_sentence_says_how_to_get_it():
    result = run(EXAMPLES / "dense-70b.yaml")
    assert result.exit_code == 2
    assert "pip install 'shardwright[silicon]'" in result.output


@pytest.mark.parametrize("priority", list(Priority))
def test_the_ranking_begins_with_the_plan(priority: Priority):
    asked, have = request(dense(), priority=priority), inventory(pool(nodes=2), pool("l40s-4", "L40S", gpus=4))
    (placement, *_), best = choose(asked, have).placements, ranking(asked, have)[0]
    assert (best.pool.name, best.fit.layout) == (placement.pool, placement.layout)


def test_products_without_measurements_are_named_and_not_ranked():
    asked, have = request(dense()), inventory(pool("mi300x-8", "MI300X"))
    found = silicon.compare(ranking(asked, have)[:2], asked)
    assert [(each.our_rank, each.its_rank, each.price.why) for each in found] == [
        (1, 0, "no measurements of MI300X"), (2, 0, "no measurements of MI300X"),
    ]  # fmt: skip


def test_both_rankings_stand_side_by_side(tmp_path: Path):
    pytest.importorskip("aiconfigurator")
    manifest = tmp_path / "cr.yaml"
    manifest.write_text(
        "apiVersion: shardwright.io/v1alpha1\nkind: InferenceDeployment\nmetadata: {name: x}\n"
        "spec: {model: {id: Qwen/Qwen3-32B}, objective: {contextLength: 8192}}\n"
    )
    rows = json.loads(run(manifest, "-o", "json").stdout)["comparison"]
    ranks = sorted(row["itsRank"] for row in rows if row["itsRank"])
    assert [row["ourRank"] for row in rows] == list(range(1, len(rows) + 1))
    assert ranks == list(range(1, len(ranks) + 1))
    assert ranks
