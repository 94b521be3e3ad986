"""`shardwright inspect-model` of a hub on this machine and of a folder with weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.cluster import REPOSITORY
from support.hub import LLAMA, LocalHub, llama_tensors, safetensors_head


def inspect(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY / "operator"), **environment}
    return subprocess.run(
        [sys.executable, "-m", "shardwright", "inspect-model", *arguments, "-o", "json"],
        env=kept, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_of_a_hub_with_a_token(hub: LocalHub) -> None:
    hub.put_model("org/small")
    for file in hub.files.values():
        file.needs_token = "hf_secret"
    done = inspect("org/small", "--hub", SHARDWRIGHT_HUB=hub.url, HF_TOKEN="hf_secret")
    assert json.loads(done.stdout)["checkpoint_bytes"] > 0, done.stderr
    refused = inspect("org/small", "--hub", "--endpoint", hub.url)
    assert (refused.returncode, refused.stdout) == (1, "") and "refused with 401" in refused.stderr


def test_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    head, length = safetensors_head(llama_tensors(LLAMA))
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(head)
        file.truncate(length)
    found = json.loads(inspect(str(tmp_path)).stdout)
    assert found["checkpoint_bytes"] == 2 * found["parameters"] and found["assumptions"] == []
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 9)
    broken = inspect(str(tmp_path))
    assert broken.returncode == 1 and "is not a safetensors file" in broken.stderr


@pytest.mark.parametrize("arguments", [("no/such",), ("no/such", "--hub")])
def test_unknown(arguments: tuple[str, ...]) -> None:
    done = inspect(*arguments, SHARDWRIGHT_HUB="off")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
