"""Runs the fake engine as a process of its own, as a container would."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

SOURCE = Path(__file__).parents[3] / "images" / "fake-engine"
MODULES = {"vllm": "fake_engine.vllm", "trtllm-serve": "fake_engine.trtllm"}


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


class Running:
    """One process, its log and its HTTP address."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self.process, self.port, self.path = process, port, log
        self.url = f"http://127.0.0.1:{port}"

    @property
    def log(self) -> str:
        return self.path.read_text()

    async def ends(self, seconds: float = 15) -> int:
        return await asyncio.wait_for(self.process.wait(), seconds)

    async def status(self, path: str) -> int:
        """HTTP status, 0 when the connection is refused."""
        try:
            async with aiohttp.ClientSession() as session, session.get(self.url + path) as answer:
                return answer.status
        except aiohttp.ClientConnectionError:
            return 0

    async def ready(self, seconds: float = 15) -> None:
        deadline = time.monotonic() + seconds
        while await self.status("/health") != 200:
            assert self.process.returncode is None, self.log
            assert time.monotonic() < deadline, self.log
            await asyncio.sleep(0.05)

    async def text(self, path: str) -> str:
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as answer:
            return await answer.text()

    async def chat(self, **body) -> tuple[int, dict]:
        body = {"messages": [{"role": "user", "content": "hello there"}], **body}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/v1/chat/completions", json=body) as answer,
        ):
            return answer.status, await answer.json()


@asynccontextmanager
async def engine(folder: Path, *argv: str, port: int | None = None, **environment: str) -> AsyncIterator[Running]:
    """Start `argv`; `--port` is added for a process that serves."""
    port = port or free_port()
    log = folder / f"{port}-{time.monotonic_ns()}.log"
    serves = "--headless" not in argv and "--port" not in argv
    words = [*argv, *(["--port", str(port)] if serves else [])]
    base = {
        "PYTHONPATH": str(SOURCE),
        "PATH": os.environ["PATH"],
        "FAKE_ENGINE_LOAD_SECONDS": "0.1",
        "FAKE_ENGINE_STEP_MILLISECONDS": "2",
    }
    code = f"import sys; sys.argv[0] = {words[0]!r}; from {MODULES[words[0]]} import main; main()"
    with log.open("w") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, *words[1:], env={**base, **environment}, stdout=out, stderr=out
        )
    try:
        yield Running(process, port, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
