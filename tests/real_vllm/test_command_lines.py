"""The real vLLM takes every golden command line, and says of the fake engine's cases what the fake's file says."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from golden.cases import COMMANDS
from real_vllm.real import QUIET, real_python
from support.cluster import REPOSITORY

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1200)]
FAKE = REPOSITORY / "tests/unit/fake_engine"
ROWS = [row for row in map(json.loads, COMMANDS.read_text().splitlines()) if row["argv"][0] == "vllm"]


def ask(*words: str | Path) -> str:
    """Run one of our programs with vLLM's interpreter; what it prints."""
    done = subprocess.run(
        [real_python(), *map(str, words)], env={**os.environ, **QUIET}, capture_output=True, text=True, check=False
    )
    assert done.returncode in {0, 1}, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def objections(tmp_path_factory) -> dict[tuple[str, int], str]:
    """What vLLM has against each command line; the models stand in, with room for every context that is asked."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("dense", "moe"):
        config = json.loads((FAKE / "models" / name / "config.json").read_text())
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 1 << 20}))
    answer = ask(REPOSITORY / "scripts/check_vllm_commands.py", COMMANDS, folder / "dense", folder / "moe")
    verdicts = [json.loads(line) for line in answer.splitlines() if line.startswith('{"case"')]
    return {(row["case"], row["pod"]): row["objection"] for row in verdicts}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['case']}-{row['pod']}")
def test_vllm_takes_the_command_line(row, objections):
    objection = objections[row["case"], row["pod"]]
    assert not objection, f"vLLM refuses: {objection}\nthe command: {' '.join(row['argv'])}"


def test_the_fake_engine_is_judged_by_what_vllm_says(tmp_path):
    """Its verdict file (`make vllm-verdicts`) is not older than its cases."""
    ask(
        REPOSITORY / "images/fake-engine/export_vllm_options.py",
        "--cases", FAKE / "vllm_cases.txt", "--models", FAKE / "models", "--verdicts", tmp_path / "verdicts.json",
    )  # fmt: skip
    said = json.loads((tmp_path / "verdicts.json").read_text())
    kept = json.loads((FAKE / "vllm_verdicts.json").read_text())
    assert {row["case"]: row["exit"] for row in said} == {row["case"]: row["exit"] for row in kept}
