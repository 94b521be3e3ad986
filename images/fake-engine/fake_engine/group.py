"""Forms the group of one replica over TCP and notices when a member is gone.

Every node says who it is in one line of JSON; the first node compares that with what it was told itself. A node that does
not fit ends the start of all, with what the real engine says when its rendezvous fails. Nothing here knows of HTTP.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from fake_engine.journal import journal
from fake_engine.refusal import Refused

HEARTBEAT_SECONDS = 1.0
SILENCE_SECONDS = 10.0
log = journal("Group")


@dataclass(frozen=True, slots=True)
class Member:
    """What one node was told. All but `rank` must be equal on all nodes."""

    rank: int
    size: int
    model: str
    layout: str
    settings: str
    """Hash of what every node of a group must agree on."""


@dataclass(slots=True)
class Group:
    """A formed group; `on_loss` hears the rank of a lost member once."""

    member: Member
    host: str
    port: int
    timeout_seconds: float
    on_loss: Callable[[int], None] = lambda _rank: None
    _peers: dict[int, asyncio.StreamWriter] = field(default_factory=dict)
    _complete: asyncio.Event = field(default_factory=asyncio.Event)
    _failure: Refused | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def form(self) -> None:
        """Wait until all are there; raises `Refused` on disagreement and when time runs out."""
        if self.member.size > 1:
            await (self._lead() if self.member.rank == 0 else self._follow())

    async def close(self) -> None:
        """Leave."""
        for task in self._tasks:
            task.cancel()
        for writer in self._peers.values():
            writer.close()
        if self._server:
            self._server.close()

    async def _lead(self) -> None:
        self._server = await asyncio.start_server(self._join, "0.0.0.0", self.port)
        log.info("waiting at port %d for %d more nodes", self.port, self.member.size - 1)
        try:
            await asyncio.wait_for(self._complete.wait(), self.timeout_seconds)
        except TimeoutError:
            raise self._timed_out(self.timeout_seconds) from None
        if self._failure:
            raise self._failure
        for writer in self._peers.values():
            writer.write(b'{"ok": true}\n')
        log.info("group of %d nodes formed: %s", self.member.size, self.member.layout)

    def _timed_out(self, seconds: float) -> Refused:
        return Refused(
            f"Timed out after {int(seconds) + 1} seconds waiting for clients. {len(self._peers) + 1}/{self.member.size} "
            "clients joined.",
            "torch.distributed.DistStoreError",
        )

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One node knocks. After the group formed nobody is let in: a restarted follower waits in vain, as with torch."""
        self._keep(asyncio.current_task())
        line = await reader.readline()
        if self._complete.is_set():
            log.warning("a node knocks at a group that is complete; it is not let in")
            await reader.read()
            return
        with contextlib.suppress(ValueError, TypeError):
            other = Member(**json.loads(line))
            wrong = self._disagreement(other)
            if wrong:
                self._fail(wrong)
                writer.write(json.dumps({"refused": wrong.message, "error": wrong.error}).encode() + b"\n")
                await writer.drain()
                return
            self._peers[other.rank] = writer
            log.info("node %d of %d joined", other.rank, self.member.size)
            if len(self._peers) + 1 == self.member.size:
                self._complete.set()
            await self._watch(other.rank, reader, writer)

    def _disagreement(self, other: Member) -> Refused | None:
        mine = self.member
        if other.size != mine.size or not 0 < other.rank < mine.size or other.rank in self._peers:
            log.error(
                "node %d of %d does not belong to a group of %d (a real group would wait out its timeout)",
                other.rank,
                other.size,
                mine.size,
            )
            return self._timed_out(self.timeout_seconds)
        if (other.model, other.layout, other.settings) == (mine.model, mine.layout, mine.settings):
            return None
        log.error(
            "node %d runs %s as %s, this one %s as %s", other.rank, other.model, other.layout, mine.model, mine.layout
        )
        return Refused(
            f"Configuration mismatch detected for engine {other.rank}. All DP workers must have identical configurations "
            f"for parameters that affect collective communication. Worker hash: {other.settings}, Expected hash: "
            f"{mine.settings}. Please ensure all workers are started with the same command-line arguments.",
            "RuntimeError",
        )

    def _fail(self, refused: Refused) -> None:
        self._failure = self._failure or refused
        self._complete.set()

    async def _follow(self) -> None:
        deadline = asyncio.get_running_loop().time() + self.timeout_seconds
        reader, writer = await self._connect(deadline)
        writer.write(json.dumps(asdict(self.member)).encode() + b"\n")
        try:
            line = await asyncio.wait_for(reader.readline(), deadline - asyncio.get_running_loop().time())
        except TimeoutError:
            raise self._unreachable() from None
        answer = json.loads(
            line or b'{"refused": "Connection reset by peer", "error": "torch.distributed.DistNetworkError"}'
        )
        if "refused" in answer:
            raise Refused(answer["refused"], answer["error"])
        self._peers[0] = writer
        log.info("node %d joined the group at %s:%d: %s", self.member.rank, self.host, self.port, self.member.layout)
        self._keep(asyncio.create_task(self._watch(0, reader, writer)))

    async def _connect(self, deadline: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while True:
            try:
                return await asyncio.open_connection(self.host, self.port)
            except OSError:
                if asyncio.get_running_loop().time() > deadline:
                    raise self._unreachable() from None
                await asyncio.sleep(0.5)

    def _unreachable(self) -> Refused:
        return Refused(
            f"The client socket has timed out after {int(self.timeout_seconds * 1000)}ms while trying to connect to "
            f"({self.host}, {self.port}).",
            "torch.distributed.DistNetworkError",
        )

    async def _watch(self, rank: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Beat, and listen for beats: a closed connection or long silence is a lost member."""
        beats = asyncio.create_task(self._beat(writer))
        try:
            while await asyncio.wait_for(reader.readline(), SILENCE_SECONDS):
                pass
        except (TimeoutError, OSError):
            pass
        finally:
            beats.cancel()
        self.on_loss(rank)

    async def _beat(self, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                await asyncio.sleep(HEARTBEAT_SECONDS)
                if self._complete.is_set() or self.member.rank:
                    writer.write(b"\n")

    def _keep(self, task: asyncio.Task[None] | None) -> None:
        if task:
            self._tasks.add(task)
