"""The fake `trtllm-llmapi-launch` in ranks whose variables are set here; real mpirun: tests/control_plane."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_engine.trtllm_launch import root_addresses
from unit.fake_engine.process import SOURCE, free_port

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
Rank = subprocess.Popen[str]


class World:
    """Ranks on this machine."""

    def __init__(self, size: int) -> None:
        self.size, self.port, self.serving = size, free_port(), free_port()
        self.ranks: list[Rank] = []

    def start(self, rank: int, *words: str, size: int | None = None, **more: str) -> Rank:
        environment = os.environ | {
            "PYTHONPATH": str(SOURCE),
            "PATH": f"{SOURCE / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "OMPI_COMM_WORLD_RANK": str(rank),
            "OMPI_COMM_WORLD_LOCAL_RANK": str(rank),
            "OMPI_COMM_WORLD_SIZE": str(size or self.size),
            "FAKE_ENGINE_MPI_PORT": str(self.port),
            "FAKE_ENGINE_LOAD_SECONDS": "0",
        }
        serve = ("trtllm-serve", MODEL, f"--port={self.serving}", *words)
        self.ranks.append(
            subprocess.Popen(
                ["trtllm-llmapi-launch", *serve],
                env=environment | more,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        )
        return self.ranks[-1]


@pytest.fixture
def world() -> Iterator[World]:
    found = World(2)
    yield found
    for rank in found.ranks:
        rank.kill()
        rank.communicate()


def test_a_world_of_another_size_than_the_layout_is_refused(world):
    ranks = [world.start(rank, "--tp_size=4", "--gpus_per_node=2") for rank in (0, 1)]
    said, _ = ranks[0].communicate(timeout=20)
    assert ranks[0].returncode == 1
    assert "External MPI session has 2 workers but the model needs world_size=4." in said
    assert ranks[1].wait(20) == 0


def test_a_rank_without_a_gpu_of_its_own_is_refused(world):
    rank = world.start(1, "--tp_size=2", NVIDIA_VISIBLE_DEVICES="GPU-0")
    said, _ = rank.communicate(timeout=20)
    assert rank.returncode == 1
    assert "CUDA error: invalid device ordinal" in said


def test_the_servers_end_is_the_worlds_end(world):
    ranks = [world.start(rank, "--tp_size=2", FAKE_ENGINE_CRASH_AFTER_SECONDS="1") for rank in (0, 1)]
    assert ranks[0].wait(20) == 1
    assert ranks[1].wait(20) == 0


def test_words_with_spaces_are_cut(world):
    rank = world.start(0, "--chat_template=a b", size=1)
    said, _ = rank.communicate(timeout=20)
    assert rank.returncode == 2
    assert "unexpected extra argument (b)" in said


@pytest.mark.parametrize(
    ("uri", "addresses"),
    [
        ("", ["127.0.0.1"]),
        ("7.0;tcp://10.0.0.1,10.0.0.2:37199", ["10.0.0.1", "10.0.0.2"]),
        ("7.0;tcp://10.0.0.1:37199;tcp6://[fd00::2]:43521", ["10.0.0.1", "fd00::2"]),
    ],
)
def test_rank_0_is_where_mpirun_is(uri, addresses):
    assert root_addresses({"OMPI_MCA_orte_hnp_uri": uri}) == addresses
