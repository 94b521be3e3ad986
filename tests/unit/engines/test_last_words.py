"""The witness of an engine as it runs in pods: a real process around a small one, with a termination log of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[3] / "operator/shardwright/engines/files/last_words.py"
BROKEN = """
import sys
print("loading", flush=True)
prefix = "(EngineCore pid=171) ERROR 11-21 14:50:10 [core.py:1141] "
print(prefix + "Traceback (most recent call last):", file=sys.stderr)
print(prefix + '  File "core.py", line 1, in run', file=sys.stderr)
print(prefix + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.16 GiB.", file=sys.stderr)
for number in range(400):
    print(f'  File "parent.py", line {number}, in start', file=sys.stderr)
    print("    wait_for_engine_startup()", file=sys.stderr)
sys.exit("RuntimeError: Engine core initialization failed. See root cause above.")
"""


def run(tmp_path, code, **more):
    log = tmp_path / "termination-log"
    log.touch()  # as kubelet does
    env = {**os.environ, "SHARDWRIGHT_TERMINATION_LOG": str(log), **more}
    words = [sys.executable, str(PROGRAM), "--", sys.executable, "-c", code]
    return log, subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_cause_is_kept_and_the_log_is_whole(tmp_path):
    log, process = run(tmp_path, BROKEN)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == "loading\n"
    assert err.count("parent.py") == 400
    words = log.read_text("utf-8")
    assert words.startswith("torch.OutOfMemoryError: CUDA out of memory.")
    assert "RuntimeError: Engine core initialization failed. See root cause above." in words
    assert len(words.encode()) <= 4096


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("import sys; sys.exit(0)", 0),
        ("import sys; sys.exit(3)", 3),
        ("import os; os.kill(os.getpid(), 9)", 137),
        ("import os, sys; sys.stdout.write('x' * 3_000_000); sys.stdout.flush(); os._exit(5)", 5),
    ],
)
def test_the_engines_status_is_the_containers(tmp_path, code, status):
    log, process = run(tmp_path, code)
    process.communicate(timeout=60)
    assert process.returncode == status
    assert not (log.read_text("utf-8") and status == 0)


def test_a_signal_reaches_the_engine_and_nothing_is_said_of_a_stop_in_order(tmp_path):
    code = (
        "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(0)); print('up', flush=True); time.sleep(60)"
    )
    log, process = run(tmp_path, code)
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    assert not log.read_text("utf-8")


def test_processes_that_outlive_the_engine_do_not_hold_it_up(tmp_path):
    code = "import subprocess, sys; subprocess.Popen(['sleep', '20']); sys.exit('ValueError: no')"
    log, process = run(tmp_path, code)
    began = time.monotonic()
    assert process.wait(timeout=30) == 1
    assert time.monotonic() - began < 15
    assert "ValueError: no" in log.read_text("utf-8")
