"""What ended a container, told from real words: each row of the table, each real log, each fault of the fake engine."""

import contextlib
import io
import sys
from pathlib import Path

import pytest
import yaml

from shardwright.api.reasons import Reason
from shardwright.catalog.failures import failures
from shardwright.status.diagnosis import Ending, diagnose

ROOT = Path(__file__).parents[3]
sys.path += [str(ROOT / "operator/shardwright/engines/files"), str(ROOT / "images/fake-engine")]

from last_words import MAX_BYTES, chosen  # noqa: E402

from fake_engine.faults import FAULTS, fail  # noqa: E402 - found by the line above
from fake_engine.refusal import Refused  # noqa: E402

DATA = ROOT / "tests/data/failures"
ROWS = yaml.safe_load((DATA / "endings.yaml").read_text("utf-8"))
REAL = {
    "arch": Reason.MODEL_NOT_SUPPORTED,
    "arch2": Reason.MODEL_NOT_SUPPORTED,
    "badoption": Reason.OPTION_REFUSED,
    "badvalue": Reason.OPTION_REFUSED,
    "broken": Reason.MODEL_FILES_BROKEN,
    "gated": Reason.MODEL_ACCESS_DENIED,
    "hubdown": Reason.HUB_UNREACHABLE,
    "nofolder": Reason.MODEL_NOT_FOUND,
    "notfound": Reason.MODEL_NOT_FOUND,
    "offline": Reason.MODEL_NOT_FOUND,
    "private": Reason.MODEL_ACCESS_DENIED,
    "rendezvous": Reason.RENDEZVOUS_FAILED,
    "shm": Reason.SHARED_MEMORY_TOO_SMALL,
}
"""Logs of vLLM 0.32.0 that could not start, as it printed them."""
PLAYED = {
    "cuda-oom": Reason.GPU_OUT_OF_MEMORY,
    "kv-too-small": Reason.KV_CACHE_TOO_SMALL,
    "gpu-taken": Reason.GPU_OUT_OF_MEMORY,
    "not-found": Reason.MODEL_NOT_FOUND,
    "gated": Reason.MODEL_ACCESS_DENIED,
    "hub-down": Reason.HUB_UNREACHABLE,
    "disk-full": Reason.DISK_FULL,
    "broken-files": Reason.MODEL_FILES_BROKEN,
    "architecture": Reason.MODEL_NOT_SUPPORTED,
    "nccl-timeout": Reason.NCCL_TIMEOUT,
    "nccl-error": Reason.NCCL_FAILED,
    "xid": Reason.GPU_LOST,
    "gpu-fault": Reason.GPU_FAULT,
    "shm": Reason.SHARED_MEMORY_TOO_SMALL,
    "worker-killed": Reason.KILLED,
}
KUBELETS_TAIL = 2048


def ending(row):
    return Ending(exit_code=row.get("exit"), kubelet=row.get("kubelet", ""), message=row.get("says", ""))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['want']}-{row['source']}")
def test_words_that_were_seen_are_understood(row):
    found = diagnose(ending(row))
    assert found.reason == row["want"], found
    assert found.do


def test_every_row_of_the_table_is_reached_by_words_that_were_seen():
    reached = {diagnose(ending(row)).do for row in ROWS}
    assert [row.reason for row in failures() if row.do not in reached] == []


@pytest.mark.parametrize("name", sorted(REAL))
def test_a_real_log_tells_its_cause(name):
    words = chosen((DATA / f"vllm-0.32.0/{name}.txt").read_text("utf-8").splitlines())
    assert len(words.encode()) <= MAX_BYTES
    found = diagnose(Ending(exit_code=1, message=words))
    assert found.reason == REAL[name], found
    assert found.line.rstrip("…") in words


@pytest.mark.parametrize("name", ["broken", "shm"])
def test_kubelets_own_tail_of_a_failed_core_does_not_tell_what_the_last_words_tell(name):
    log = (DATA / f"vllm-0.32.0/{name}.txt").read_text("utf-8")
    assert diagnose(Ending(exit_code=1, message=log[-KUBELETS_TAIL:])).reason == Reason.ENGINE_FAILED


def printed(name):
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            fail(name)
        except Refused as refused:
            return f"{said.getvalue()}Traceback (most recent call last):\n  ...\n{refused}\n"
    raise AssertionError(name)


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_each_fault_of_the_fake_engine_is_told_apart(name):
    log = printed(name)
    assert diagnose(Ending(exit_code=1, message=chosen(log.splitlines()))).reason == PLAYED[name]
    if FAULTS[name].in_core:
        assert diagnose(Ending(exit_code=1, message=log[-KUBELETS_TAIL:])).reason == Reason.ENGINE_FAILED


@pytest.mark.parametrize(
    ("message", "reason", "line"),
    [
        ("ModelNotFound: the hub knows no org/missing", Reason.MODEL_NOT_FOUND, "the hub knows no org/missing"),
        ("DiskFull: 3 GiB are missing\nmore", Reason.DISK_FULL, "3 GiB are missing"),
        ("Planned: everything is fine", Reason.ENGINE_FAILED, ""),
        ("NoSuchWord: x", Reason.ENGINE_FAILED, ""),
    ],
)
def test_a_reason_in_the_first_line_is_believed_if_a_container_can_end_so(message, reason, line):
    found = diagnose(Ending(exit_code=1, message=message))
    assert (found.reason, found.line) == (reason, line)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"exit_code": 0, "seconds": 1799.0, "startup_seconds": 1800}, Reason.STARTUP_TIMEOUT),
        ({"exit_code": 137, "seconds": 1900.0, "startup_seconds": 1800}, Reason.STARTUP_TIMEOUT),
        ({"exit_code": 143, "seconds": 1805.0, "startup_seconds": 1800, "was_ready": True}, Reason.NOT_ALIVE),
        ({"exit_code": 137, "seconds": 20.0, "startup_seconds": 1800}, Reason.KILLED),
        ({"exit_code": 1, "seconds": 1900.0, "startup_seconds": 1800}, Reason.ENGINE_FAILED),
        ({"exit_code": 137, "seconds": 9e5, "startup_seconds": 1800, "kubelet": "OOMKilled"}, Reason.OUT_OF_MEMORY),
    ],
)
def test_a_probes_patience_is_told_from_a_kill(fields, reason):
    assert diagnose(Ending(**fields)).reason == reason
