#!/usr/bin/env python3
"""Start an MPI world over the pods of one group without ssh. Standard library only: it runs in the engine's image.

    mpi_agent.py serve               in every follower: run the MPI daemon that the leader asks for, then end with it
    mpi_agent.py rsh HOST COMMAND…   in the leader, called by mpirun (plm_rsh_agent) once for each follower

Who may start something: whoever proves, over a nonce that the follower drew, to hold the deployment's secret and to be
of the same group and incarnation. The proof covers the command, so it can be neither replayed nor changed. Only MPI's
daemon is started. The secret is a file that the kubelet mounts; it never crosses the network. The traffic is not
encrypted, nor is MPI's.
"""

import hashlib
import hmac
import json
import os
import secrets
import shlex
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

PORT = int(os.environ.get("SHARDWRIGHT_MPI_PORT", "29400"))
SECRET_FILE = os.environ.get("SHARDWRIGHT_MPI_SECRET_FILE", "/etc/shardwright-launch/secret")
INCARNATION = os.environ.get("SHARDWRIGHT_INCARNATION", "0")
GROUP = os.environ.get("SHARDWRIGHT_GROUP", "")
WAIT_SECONDS = int(os.environ.get("SHARDWRIGHT_START_SECONDS", "1800"))
DAEMONS = ("orted", "prted")
PROFILE_FIRST = "( test ! -r ./.profile || . ./.profile;"
"""What mpirun puts around its line, with a closing bracket, where the user's shell is sh: no login, so not needed."""
LARGEST_MESSAGE_BYTES = 1 << 20
OUTPUT, EXIT, REFUSED = b"o", b"x", b"r"


def main(arguments: Sequence[str]) -> int:
    """Run one of the two roles and return its exit status."""
    role, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if role == "serve" and not rest:
        return serve()
    if role == "rsh" and len(rest) > 1:
        return ask(rest[0], without_profile(" ".join(rest[1:])))
    print(__doc__, file=sys.stderr)
    return 2


def serve() -> int:
    """Answer until one authentic leader comes; then live exactly as long as the daemon that it asked for."""
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    dualstack = family == socket.AF_INET6
    with socket.create_server(("", PORT), family=family, dualstack_ipv6=dualstack) as listener:
        print(f"mpi-agent: waiting for the leader on port {PORT}, incarnation {INCARNATION}", flush=True)
        while True:
            connection, peer = listener.accept()
            with connection:
                connection.settimeout(10)
                try:
                    command = authentic_command(connection)
                except (OSError, ValueError, EOFError) as error:
                    refuse(connection, peer, error)
                    continue
                connection.settimeout(None)
                return run_daemon(connection, command)


def authentic_command(connection: socket.socket) -> str:
    """Read what a leader with the group's secret asks for; ValueError tells why it is refused."""
    nonce = secrets.token_bytes(32)
    connection.sendall(nonce)
    signature, payload = receive(connection), receive(connection)
    if not hmac.compare_digest(signature, sign(nonce, payload)):
        raise ValueError("it does not hold this deployment's secret")
    request = json.loads(payload)
    if request["group"] != GROUP:
        raise ValueError(f"it is of the group {request['group']}, this pod of {GROUP}")
    if request["incarnation"] != INCARNATION:
        raise ValueError(f"it is of incarnation {request['incarnation']}, this pod of {INCARNATION}")
    if not starts_daemon(request["command"]):
        raise ValueError(f"only {' or '.join(DAEMONS)} is started here")
    return str(request["command"])


def starts_daemon(command: str) -> bool:
    """Whether mpirun's line starts MPI's daemon and nothing else (before it stand assignments of PATH and the like)."""
    try:
        words = shlex.split(command, comments=False)
    except ValueError:
        return False
    return any(os.path.basename(word) in DAEMONS for word in words) and not any(c in command for c in "`|&<>\n")


def refuse(connection: socket.socket, peer: Sequence[object], error: Exception) -> None:
    """Say why, to the peer and in the log, and go on waiting."""
    print(f"mpi-agent: refused {peer[0]}: {error}", file=sys.stderr, flush=True)
    with suppress(OSError):
        send(connection, REFUSED + str(error).encode())


def run_daemon(connection: socket.socket, command: str) -> int:
    """Run it, pass its output to the leader; a leader that goes away takes it along."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    signal.signal(signal.SIGTERM, lambda *_: end(process))
    threading.Thread(target=end_with_leader, args=(connection, process), daemon=True).start()
    assert process.stdout is not None
    output = process.stdout.fileno()
    for line in iter(lambda: os.read(output, 65536), b""):
        os.write(1, line)
        try:
            send(connection, OUTPUT + line)
        except OSError:
            end(process)
    status = process.wait()
    with suppress(OSError):
        send(connection, EXIT + str(status).encode())
    return status if status > 0 else 1  # a follower that ends is a broken group, whatever its daemon said


def end_with_leader(connection: socket.socket, process: subprocess.Popen[bytes]) -> None:
    """Block until the leader's side closes, then end the daemon."""
    try:
        while connection.recv(1):
            pass
    except OSError:
        pass
    end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop the daemon and every rank that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def ask(host: str, command: str) -> int:
    """Have a follower run the daemon; return its exit status. Waits until the follower listens."""
    if host == GROUP.partition(",")[0]:
        print(f"mpi-agent: {host} is this pod, but its name does not resolve to its address", file=sys.stderr)
        return 1
    with reached(host) as connection:
        nonce = exactly(connection, 32)
        payload = json.dumps({"group": GROUP, "incarnation": INCARNATION, "command": command}).encode()
        send(connection, sign(nonce, payload))
        send(connection, payload)
        connection.settimeout(None)
        while True:
            message = receive(connection)
            kind, body = message[:1], message[1:]
            if kind == OUTPUT:
                os.write(1, body)
            elif kind == EXIT:
                return int(body) & 0xFF
            else:
                print(f"mpi-agent: {host} refused: {body.decode(errors='replace')}", file=sys.stderr)
                return 1


def without_profile(command: str) -> str:
    """Take the reading of a login shell's profile off mpirun's line."""
    if not command.startswith(PROFILE_FIRST):
        return command
    return command.removeprefix(PROFILE_FIRST).strip().removesuffix(")").strip()


def reached(host: str) -> socket.socket:
    """Connect, waiting for a follower that does not listen yet; SystemExit names one that does not in time."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return socket.create_connection((host, PORT), timeout=30)
        except OSError as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"mpi-agent: {host}:{PORT} did not answer in {WAIT_SECONDS} s: {error}") from None
            time.sleep(0.5)


def sign(nonce: bytes, payload: bytes) -> bytes:
    """Prove possession of the secret over one nonce and one request."""
    with open(SECRET_FILE, "rb") as file:
        return hmac.new(file.read().strip(), nonce + payload, hashlib.sha256).digest()


def send(connection: socket.socket, message: bytes) -> None:
    """Send one message: its length in four bytes, then itself."""
    connection.sendall(struct.pack("!I", len(message)) + message)


def receive(connection: socket.socket) -> bytes:
    """Receive one message; EOFError where the peer went away."""
    (length,) = struct.unpack("!I", exactly(connection, 4))
    if length > LARGEST_MESSAGE_BYTES:
        raise ValueError(f"a message of {length} bytes")
    return exactly(connection, length)


def exactly(connection: socket.socket, count: int) -> bytes:
    """Receive that many bytes."""
    received = b""
    while len(received) < count:
        part = connection.recv(count - len(received))
        if not part:
            raise EOFError
        received += part
    return received


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
