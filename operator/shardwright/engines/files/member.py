#!/usr/bin/env python3
"""One pod's member of a group: start the engine once all members met, tell whether the group is whole, stop in order.

    member.py [--on-leader=WORD]… [--on-follower=WORD]… [--follower-runs=WORD]… -- COMMAND…

Standard library and last_words.py alone: it runs in the engine's image as the container's first process. The words are
appended to the command of the pods with that role; with --follower-runs followers run those words alone, and COMMAND is
the leader's.
Every member answers on one port:

    /member   who this is: JSON with index, incarnation, this process's mark, whom it met, whether its engine runs
    /started  200 once the engine has loaded (a follower has no API: once its engine runs)
    /ready    200 while this pod does its part; the leader's needs its own engine's /health and every follower alive
    /live     200 unless the engine is dead or hangs

Where every pod serves (SHARDWRIGHT_EVERY_POD_SERVES=1), followers have an API too, and are judged as a leader is.

Who meets whom is decided by the leader, once for each process: a member of another incarnation, or one that restarted
after the engine started, is never met, because an engine's rendezvous cannot be joined twice. Such a group is not ready
until the operator makes it anew. To leave the Service it needs no operator: the leader's readiness does that. A leader
whose follower stays away for 30 seconds ends its engine, so that requests which wait for that follower fail. Followers
that serve learn from the leader whom it met, and watch the others as it does.
"""

import http.client
import json
import math
import os
import signal
import socket
import socketserver
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from last_words import LastWords  # type: ignore[import-not-found]  # beside this file, in every pod

POLL_SECONDS = 0.5
ASK_SECONDS = 1.0
PEER_FRESH_SECONDS = 2.5
ENGINE_FRESH_SECONDS = 10.0
PROC = "/proc"
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Member:
    """What this process knows; written by its own threads, read by its HTTP server."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.index = int(environment["SHARDWRIGHT_POD_INDEX"])
        self.hosts = environment["SHARDWRIGHT_GROUP"].split(",")
        self.incarnation = environment.get("SHARDWRIGHT_INCARNATION", "0")
        self.port = int(environment["SHARDWRIGHT_MEMBER_PORT"])
        self.address = environment.get("SHARDWRIGHT_MEMBER_ADDRESS", "")  # to listen on; empty = all
        self.engine_port = int(environment["SHARDWRIGHT_ENGINE_PORT"])
        self.engine_address = environment.get("SHARDWRIGHT_ENGINE_ADDRESS", "127.0.0.1")
        self.start_seconds = int(environment.get("SHARDWRIGHT_START_SECONDS", "1800"))
        self.drain_seconds = int(environment.get("SHARDWRIGHT_DRAIN_SECONDS", "60"))
        self.lost_seconds = int(environment.get("SHARDWRIGHT_LOST_SECONDS", "30"))
        self.server = environment.get("SHARDWRIGHT_SERVER", "")  # program that drains, where a launcher would not
        self.every_pod_serves = environment.get("SHARDWRIGHT_EVERY_POD_SERVES") == "1"
        self.serves = self.leads or self.every_pod_serves  # has an API
        self.model = prepared_model(environment)  # ranks of one group must not load unlike weights
        self.differs = ""  # why another member is not met, where its files are others
        self.mark = uuid.uuid4().hex
        self.addresses: dict[int, str] = {}  # where each other member answered last
        self.met: dict[int, str] = {}  # the process of each other member that the leader met; known where one serves
        self.joined = ""  # follower: the process of the leader that met this one
        self.seen: dict[int, float] = {}  # when each met peer was last alive
        self.healthy_at = 0.0
        self.started = False
        self.engine_pid = 0
        self.stopping = False
        self.lost = ""  # who is gone, once the engine is ended for it

    @property
    def leads(self) -> bool:
        """Whether this is the leader."""
        return self.index == 0

    def describe(self) -> dict[str, object]:
        """Write the answer to /member."""
        return {
            "index": self.index,
            "incarnation": self.incarnation,
            "mark": self.mark,
            "model": self.model,
            "alive": self.alive(),
            "met": self.met,
            "joined": self.joined,
            "started": self.started,
        }

    def alive(self) -> bool:
        """Whether the engine's processes run. Before the start there is nothing that could be dead."""
        return not self.engine_pid or not any_stopped(self.engine_pid)

    def healthy(self) -> bool:
        """Whether the engine's own /health was good of late; only a leader's engine has one."""
        return time.monotonic() - self.healthy_at < ENGINE_FRESH_SECONDS

    def others(self) -> list[int]:
        """The other members."""
        return [index for index in range(len(self.hosts)) if index != self.index]

    def whole(self) -> bool:
        """Whether every other member was alive of late."""
        return all(self.lost_for(index) < PEER_FRESH_SECONDS for index in self.others())

    def lost_for(self, index: int) -> float:
        """Seconds since a member was alive; for ever where it never was."""
        return time.monotonic() - self.seen.get(index, -math.inf)

    def patience(self) -> float:
        """Seconds without another member after which the engine is ended.

        Followers without an API outlive their leader: without one, a leader that drains waits for requests in vain.
        """
        if not self.stopping:
            return self.lost_seconds
        return PEER_FRESH_SECONDS if self.leads and not self.every_pod_serves else math.inf

    def answer(self, path: str) -> bool:
        """Whether a probe's answer is yes."""
        if path == "/started":
            return bool(self.engine_pid) and (self.started or not self.serves)
        if path == "/ready":
            return bool(self.engine_pid) and self.alive() and (not self.serves or (self.healthy() and self.whole()))
        return self.alive() and (not self.serves or not self.started or self.healthy())


def prepared_model(environment: dict[str, str]) -> str:
    """Which commits were put there for this pod before it started; empty where that is nobody's doing."""
    try:
        with open(os.path.join(environment["HF_HUB_CACHE"], "commits"), encoding="utf-8") as file:
            return file.read().strip()
    except (KeyError, OSError):
        return ""


def any_stopped(engine_pid: int) -> bool:
    """Whether the engine or one of its processes is stopped, or the engine itself is gone."""
    states = {pid: state for pid, (state, _) in processes().items()}
    own = states.get(engine_pid, "Z")
    return own in "ZXT" or (os.getpid() == 1 and "T" in states.values())


def processes() -> dict[int, tuple[str, int]]:
    """State and parent of every process."""
    found = {}
    for entry in os.listdir(PROC):
        if entry.isdecimal():
            try:
                with open(f"{PROC}/{entry}/stat", encoding="utf-8", errors="replace") as file:
                    state, parent = file.read().rpartition(")")[2].split()[:2]
            except (OSError, ValueError):
                continue
            found[int(entry)] = (state, int(parent))
    return found


def ask(host: str, port: int, path: str, timeout: float) -> tuple[int, bytes, str]:
    """GET: status, body, and the address that answered; status 0 when nobody did."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path)
        address = str(connection.sock.getpeername()[0])
        response = connection.getresponse()
        return response.status, response.read(65536), address
    except (OSError, http.client.HTTPException):
        return 0, b"", ""
    finally:
        connection.close()


def peer(member: Member, index: int) -> dict[str, object]:
    """Ask another member who it is; nothing when it does not answer or is of another incarnation.

    Once the engine runs, by its address: a pod keeps it for life, and a DNS that is down must not break a whole group.
    """
    named = member.hosts[index]
    host = member.addresses.get(index, named) if member.engine_pid else named
    status, body, address = ask(host, member.port, "/member", ASK_SECONDS)
    try:
        answer = json.loads(body) if status == 200 else {}
    except ValueError:
        return {}
    if answer.get("incarnation") != member.incarnation:
        return {}
    if answer.get("model", "") != member.model:
        member.differs = f"the same model files: {named} has {answer.get('model')!r}, this pod {member.model!r}"
        return {}
    member.addresses[index] = address
    return dict(answer)


def watch(member: Member, index: int) -> None:
    """Notice when another member was last alive: the leader of each follower, one that serves of all others."""
    while True:
        answer = peer(member, index)
        if answer and member.leads:
            meet_follower(member, index, answer)
        elif answer and index == 0 and answer["mark"] == member.joined and isinstance(answer["met"], dict):
            member.met = {0: member.joined, **{int(key): str(mark) for key, mark in answer["met"].items()}}
        if answer and answer["alive"] and member.met.get(index) == answer["mark"]:
            member.seen[index] = time.monotonic()
        elif index in member.seen and member.lost_for(index) > member.patience():
            end_without(member, index)
        time.sleep(POLL_SECONDS)


def meet_follower(member: Member, index: int, answer: dict[str, object]) -> None:
    """Leader: meet each follower's process once; before the engine runs, a process that took its place too."""
    free = index not in member.met or not member.engine_pid
    if free and answer["joined"] in ("", member.mark):
        member.met[index] = str(answer["mark"])


def end_without(member: Member, index: int) -> None:
    """A member is gone for good, so requests that wait for it fail now, not at the engine's own timeout."""
    if not member.engine_pid:
        return
    lost = f"{member.hosts[index]} is gone for {member.patience()} s, and an engine's group cannot be joined again"
    member.lost = f"member {member.index}: ends its engine: {lost}"
    print(member.lost, file=sys.stderr, flush=True)
    os.kill(member.engine_pid, signal.SIGKILL)


def health(member: Member) -> int:
    """Status of the engine's own /health."""
    return ask(member.engine_address, member.engine_port, "/health", ENGINE_FRESH_SECONDS / 2)[0]


def watch_engine(member: Member) -> None:
    """Notice when the engine's API was last healthy."""
    while True:
        if member.engine_pid and health(member) == 200:
            member.healthy_at = time.monotonic()
            member.started = True
        time.sleep(POLL_SECONDS)


def meet(member: Member) -> str:
    """Block until the group has met. Returns what is missing when time ran out."""
    deadline = time.monotonic() + member.start_seconds
    told = ""
    while not member.stopping:
        missing = missing_members(member)
        if not missing:
            return ""
        if member.differs:
            time.sleep(3 * ASK_SECONDS)  # the other is to see it too, and not to wait for a member that left
            return member.differs
        if missing != told:
            print(f"member {member.index}: waiting for {missing}", flush=True)
            told = missing
        if time.monotonic() > deadline:
            return missing
        time.sleep(POLL_SECONDS / 2)
    return "nothing: told to stop"


def missing_members(member: Member) -> str:
    """Who has not been met, in words; empty when the engine may start."""
    if member.leads:
        return ", ".join(member.hosts[index] for index in range(1, len(member.hosts)) if index not in member.met)
    leader = peer(member, 0)
    if not leader:
        return f"{member.hosts[0]} (no answer, or another incarnation than {member.incarnation})"
    met = leader["met"] if isinstance(leader["met"], dict) else {}
    if met.get(str(member.index)) == member.mark:
        member.joined = str(leader["mark"])
        return ""
    if str(member.index) in met:
        return "the group to be made anew: it was formed with this pod's earlier process"
    return f"{member.hosts[0]} to meet this pod"


def server(member: Member) -> ThreadingHTTPServer:
    """Make the HTTP server of this member, listening on every address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path in ("/started", "/ready", "/live")
            status = 200 if self.path == "/member" or (known and member.answer(self.path)) else 503 if known else 404
            body = json.dumps(member.describe()).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes are not news."""

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if not member.address and socket.has_dualstack_ipv6() else socket.AF_INET
        daemon_threads = True

        def server_bind(self) -> None:
            if self.address_family == socket.AF_INET6:
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            socketserver.TCPServer.server_bind(self)  # HTTPServer's own asks DNS for a name that nobody needs

    return Server((member.address, member.port), Handler)


def stop(member: Member) -> None:
    """Pass the signal on: a follower without an API first lets the leader finish its running requests.

    Where every pod serves, each drains its own; their engines step together until no rank has a request left.
    """
    deadline = time.monotonic() + member.drain_seconds
    missed = 0
    while not member.serves and member.engine_pid and missed < 2 and time.monotonic() < deadline:
        missed = 0 if peer(member, 0) else missed + 1
        time.sleep(POLL_SECONDS)
    for pid in serving(member):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def serving(member: Member) -> list[int]:
    """Processes to ask to stop: the server by its name where one is given and runs, else the engine itself."""
    named = [pid for pid in descendants(member.engine_pid) if member.server in program_names(pid)]
    return named or [pid for pid in (member.engine_pid,) if pid]


def program_names(pid: int) -> set[str]:
    """What a process may be called: its program, or the script that its interpreter runs."""
    try:
        with open(f"{PROC}/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
            return {os.path.basename(word) for word in file.read().split("\0")[:2] if word}
    except OSError:
        return set()


def descendants(pid: int) -> list[int]:
    """All processes below this one."""
    parents = [(child, parent) for child, (_, parent) in processes().items()]
    found = [pid]
    for above in found:
        found += [child for child, parent in parents if parent == above]
    return found[1:]


def tell(words: str) -> None:
    """Say why there is no engine: in the log, and where kubelet looks when the container has ended."""
    print(words, file=sys.stderr, flush=True)
    LastWords().write(words)


def run_engine(member: Member, command: Sequence[str]) -> int:
    """Run it to its end and return a status that tells a kubelet the truth; reap orphans, being the first process."""
    last_words = LastWords()
    member.engine_pid = last_words.spawn(command)
    if member.stopping:  # told just before there was anything to stop
        os.kill(member.engine_pid, signal.SIGTERM)
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == member.engine_pid:
            break
    code = os.waitstatus_to_exitcode(status)
    told = f"member {member.index}: the engine ended with {code}"
    print(told, file=sys.stderr, flush=True)
    if code or not member.stopping:
        last_words.write(member.lost, told)
    if code < 0:
        return 128 - code
    return code or (0 if member.stopping else 1)  # an engine that ends unasked has left its group, whatever it says


def words(arguments: Sequence[str], leads: bool) -> list[str]:
    """Put the command together for this pod's role."""
    split = list(arguments).index("--")

    def given(option: str) -> list[str]:
        return [word[len(option) :] for word in arguments[:split] if word.startswith(option)]

    other = [] if leads else given("--follower-runs=")
    return other or [*arguments[split + 1 :], *given("--on-leader=" if leads else "--on-follower=")]


def start_threads(member: Member) -> None:
    """Serve and watch. The threads block the stop signals, so that these always interrupt the main thread's waiting."""
    targets: list[tuple[Callable[..., None], tuple[object, ...]]] = [(server(member).serve_forever, ())]
    if member.serves:
        targets.append((watch_engine, (member,)))
        targets += [(watch, (member, index)) for index in member.others()]
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    for target, given in targets:
        threading.Thread(target=target, args=given, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def main(arguments: Sequence[str]) -> int:
    """Serve, meet, run, stop."""
    member = Member(dict(os.environ))
    command = words(arguments, member.leads)

    def told_to_stop(*_: object) -> None:
        if not member.stopping:
            member.stopping = True
            threading.Thread(target=stop, args=(member,), daemon=True).start()

    for number in STOP_SIGNALS:
        signal.signal(number, told_to_stop)
    start_threads(member)
    missing = meet(member)
    if member.stopping:
        tell(f"member {member.index}: stopped while it waited for {missing_members(member)}")
        return 0
    if missing:
        waited = 0 if member.differs else member.start_seconds
        tell(f"member {member.index}: gave up after {waited} s without {missing}")
        return 1
    return run_engine(member, command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
