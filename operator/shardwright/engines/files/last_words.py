#!/usr/bin/env python3
"""Run an engine and keep its last words: what tells why it ended goes where kubelet puts it into the pod's status.

    last_words.py -- COMMAND…

Standard library only: it runs in the engine's image as the container's first process. What the engine prints goes on to
the container's log as it is. Without this, kubelet shows the last 2 KiB of that log, which in an engine of several
processes is the parent's traceback ("see root cause above"); the cause stands above it. Signals are passed on, orphans
are reaped, and the engine's status is the container's.
"""

import os
import re
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

LOG = os.environ.get("SHARDWRIGHT_TERMINATION_LOG", "/dev/termination-log")
IF_THERE = os.O_WRONLY | os.O_TRUNC  # kubelet made it; elsewhere none is made in /dev
MAX_BYTES = 4096  # what kubelet reads of it
MAX_LINES = 3000
MAX_LINE = 400
RECENT_SECONDS = 90.0  # an error that was printed longer before the end was survived
DRAIN_SECONDS = 2.0  # for the last lines of processes that outlive the engine
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

PREFIX = re.compile(r"^(\([^()]*\) ?)*((ERROR|WARNING|CRITICAL|INFO) [\d-]+ [\d:.]+ (\[[^\]]*\] ?)?)?")
"""What vLLM's logger puts before every line of a traceback."""
ERROR = re.compile(
    r"^[\w.]*(Error|Exception|Exit|Interrupt|Timeout)\b"  # the end of a traceback
    r"|out of memory|CUDA error|HIP error|NCCL (WARN|error)|No space left|\bXid\b|GPU is lost|fallen off the bus"
    r"|[Bb]us error|died unexpectedly|Watchdog caught|Segmentation fault|error: |^member \d+: |mpirun |^Killed"
    r"|Client Error|Access to model|gated repo|connect to '|Value error, |less than desired|/dev/shm"
)
FRAME = re.compile(r'^\s+(File "|[\^~]|\.\.\.)|^Traceback|^\s{4}|^frame #|^Exception raised from ')
"""A traceback's lines but its last."""


class LastWords:
    """The newest lines of one engine."""

    def __init__(self) -> None:
        self.lines: deque[tuple[float, str]] = deque(maxlen=MAX_LINES)
        self.readers: list[threading.Thread] = []

    def spawn(self, command: Sequence[str]) -> int:
        """Start it with its output passing through here; returns its process id."""
        pipes = [(os.pipe(), target) for target in (1, 2)]
        actions = [(os.POSIX_SPAWN_DUP2, writing, target) for (_, writing), target in pipes]
        pid = os.posix_spawnp(command[0], list(command), os.environ, file_actions=actions)
        for (reading, writing), target in pipes:
            os.close(writing)
            self.readers.append(threading.Thread(target=self._pass_on, args=(reading, target), daemon=True))
            self.readers[-1].start()
        return pid

    def _pass_on(self, reading: int, target: int) -> None:
        """Copy one stream, and keep its lines."""
        rest = b""
        while data := os.read(reading, 65536):
            with suppress(OSError):  # nobody reads the log: the engine must not stop for that
                written = 0
                while written < len(data):
                    written += os.write(target, data[written:])
            *whole, rest = (rest + data).split(b"\n")
            rest = rest[-65536:]
            self._keep(whole)
        self._keep([rest] if rest else [])

    def _keep(self, lines: Sequence[bytes]) -> None:
        now = time.monotonic()
        for line in lines:
            text = line[: MAX_LINE * 8].decode("utf-8", "replace").rstrip()
            if text:
                self.lines.append((now, text))

    def write(self, *more: str) -> None:
        """Put the words where kubelet looks; never raises."""
        for reader in self.readers:
            reader.join(DRAIN_SECONDS)
        newest = time.monotonic() - RECENT_SECONDS
        text = chosen([line for at, line in list(self.lines) if at >= newest] + [line for line in more if line])
        with suppress(OSError), open(os.open(LOG, IF_THERE), "w", encoding="utf-8") as file:
            file.write(text)


def chosen(lines: Sequence[str]) -> str:
    """Lines that name an error, the first of them first, then the last lines: no more than kubelet reads."""
    bare = [line for line in (PREFIX.sub("", line, count=1) for line in lines) if not FRAME.match(line)]
    telling = list(dict.fromkeys(short(line) for line in bare if ERROR.search(line)))
    found = fitting(telling, MAX_BYTES * 3 // 4)
    last = [line for line in map(short, bare[-12:]) if line not in found]
    return "\n".join([*found, *reversed(fitting(last[::-1], MAX_BYTES - size(found)))])


def fitting(lines: Sequence[str], room: int) -> list[str]:
    """As many of the lines, from the first, as have room."""
    found: list[str] = []
    for line in lines:
        if size([*found, line]) < room:
            found.append(line)
    return found


def size(lines: Sequence[str]) -> int:
    """Bytes of lines in a file."""
    return sum(len(line.encode()) + 1 for line in lines)


def short(line: str) -> str:
    """No longer than is worth telling."""
    return line if len(line) <= MAX_LINE else line[: MAX_LINE - 1] + "…"


def exit_status(status: int) -> int:
    """The status that a shell would give for what waitpid gave."""
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def main(arguments: Sequence[str]) -> int:
    """Run, pass signals on, reap, tell."""
    words, pid = LastWords(), 0
    stopping: list[int] = []

    def pass_on(number: int, _frame: object) -> None:
        stopping.append(number)
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    for number in STOP_SIGNALS:
        signal.signal(number, pass_on)
    pid = words.spawn(list(arguments)[list(arguments).index("--") + 1 :])
    if stopping:  # told just before there was anything to stop
        os.kill(pid, stopping[-1])
    while True:
        child, status = os.waitpid(-1, 0)
        if child == pid:
            break
    code = exit_status(status)
    if code:
        words.write()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
