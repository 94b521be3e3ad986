"""Members that know each other's addresses need no DNS: one that is down must not break every group of a cluster."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

PROGRAM = Path(__file__).parents[3] / "operator/shardwright/engines/files/member.py"
ELSEWHERE = "127.0.0.77"
"""Where nobody listens: what a name leads to that is not answered."""


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(PROGRAM.parent))  # it finds its neighbour beside it, as in a pod
    found = importlib.util.spec_from_file_location("member_under_test", PROGRAM)
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def member(program: ModuleType, index: int, port: int, incarnation: str = "3"):
    return program.Member({
        "SHARDWRIGHT_POD_INDEX": str(index), "SHARDWRIGHT_GROUP": "localhost,localhost",
        "SHARDWRIGHT_INCARNATION": incarnation, "SHARDWRIGHT_MEMBER_PORT": str(port),
        "SHARDWRIGHT_MEMBER_ADDRESS": "127.0.0.1", "SHARDWRIGHT_ENGINE_PORT": "1",
    })  # fmt: skip


@pytest.fixture
def follower(program: ModuleType) -> Iterator[int]:
    """A follower that answers; its port."""
    served = program.server(member(program, 1, 0))
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield served.server_address[1]
    served.shutdown()
    served.server_close()


def test_a_group_that_runs_asks_by_address(program: ModuleType, follower: int) -> None:
    leader = member(program, 0, follower)
    assert program.peer(leader, 1)["index"] == 1
    leader.hosts[1] = ELSEWHERE
    assert not program.peer(leader, 1), "while a group forms, a pod may still be replaced by one of another address"
    leader.engine_pid = 1
    assert program.peer(leader, 1)["index"] == 1


def test_no_address_is_kept_of_another_incarnation(program: ModuleType, follower: int) -> None:
    leader = member(program, 0, follower, incarnation="4")
    assert not program.peer(leader, 1)
    assert not leader.addresses
