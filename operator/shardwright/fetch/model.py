"""One model on a hub -> its files as texts: config.json, ModelOpt's extra file, and the sizes of all its tensors.

config.json is needed; what else cannot be read is said in a note, and planning goes on with what the config explains.
"""

import asyncio
import re
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson
from yarl import URL

from shardwright.api.reasons import Reason
from shardwright.fetch.http import MIB, HubReader
from shardwright.fetch.problem import FetchProblem
from shardwright.fetch.safetensors import LENGTH_BYTES, header_bytes, read_header, together, unreadable
from shardwright.models.checkpoint import Checkpoint
from shardwright.models.files import CHECKPOINT, CONFIG, NOTE, QUANT_CONFIG

DEFAULT_REVISION = "main"
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
CONFIG_LIMIT = 3 * MIB // 4
"""It is kept in a ControllerRevision beside the plan, and etcd takes 1.5 MiB; the longest published one is 0.3."""
INDEX_LIMIT = 48 * MIB
MOST_FILES = 2048
FIRST_BYTES = 128 << 10
"""Of each file; most headers are whole in it."""
AT_ONCE = 8
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_ID = re.compile(rf"{_NAME}(/{_NAME})?")
_FILE_NAME = re.compile(rb':\s*"([^"\\]{1,512})"')
_SHARD = re.compile(rf"({_NAME}/)*{_NAME}\.safetensors")


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model as a hub knows it."""

    endpoint: str
    id: str
    revision: str = DEFAULT_REVISION

    def file(self, name: str) -> URL:
        """Address of one of its files."""
        path = f"/{quote(self.id)}/resolve/{quote(self.revision, safe='')}/{quote(name)}"
        return URL(self.endpoint.rstrip("/") + path, encoded=True)

    def __str__(self) -> str:
        """For people."""
        return f"{self.id} at {self.revision} on {self.endpoint}"


async def fetch_model(reader: HubReader, model: HubModel, seconds: float) -> dict[str, str]:
    """The model's files as texts. Raises FetchProblem; takes at most twice `seconds`."""
    if not _ID.fullmatch(model.id) or ".." in model.id:
        raise FetchProblem(
            Reason.MODEL_NOT_FOUND,
            f"{model.id!r} is not an id of a hub such as Qwen/Qwen3-8B: correct it, or give model.facts.configMapRef",
        )
    try:
        async with asyncio.timeout(seconds):
            files = await _configs(reader, model)
    except TimeoutError:
        raise FetchProblem(
            Reason.HUB_UNREACHABLE, f"{model} did not give its config.json within {seconds:g} s"
        ) from None
    try:
        async with asyncio.timeout(seconds):
            files[CHECKPOINT] = (await read_checkpoint(reader, model)).as_text()
    except TimeoutError:
        files[NOTE] = _note(f"they could not all be read within {seconds:g} s")
    except FetchProblem as problem:
        files[NOTE] = _note(problem.message)
    return files


def _note(why: str) -> str:
    return f"sizes follow from config.json alone: the headers of the weight files were not read ({why})"


async def _configs(reader: HubReader, model: HubModel) -> dict[str, str]:
    config = _object(await reader.whole(model.file(CONFIG), CONFIG_LIMIT), f"{CONFIG} of {model}")
    files = {CONFIG: orjson.dumps(config).decode()}
    if not config.get("quantization_config"):
        try:
            extra = await reader.whole(model.file(QUANT_CONFIG), CONFIG_LIMIT - len(files[CONFIG]))
            files[QUANT_CONFIG] = orjson.dumps(_object(extra, QUANT_CONFIG)).decode()
        except FetchProblem as problem:
            if problem.reason is Reason.HUB_UNREACHABLE:  # there may be one, and then it decides the sizes
                raise
    return files


def _object(content: bytes, name: str) -> dict[str, object]:
    try:
        document = orjson.loads(content)
    except ValueError as error:
        raise FetchProblem(Reason.MODEL_FACTS_UNREADABLE, f"{name} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise FetchProblem(Reason.MODEL_FACTS_UNREADABLE, f"{name} is not a JSON object")
    return document


async def read_checkpoint(reader: HubReader, model: HubModel) -> Checkpoint:
    """Exact bytes of all tensors, from the headers of all weight files. Raises FetchProblem."""
    try:
        index = await reader.whole(model.file(INDEX), INDEX_LIMIT)
    except FetchProblem as problem:
        if problem.reason is not Reason.MODEL_NOT_FOUND:
            raise
        names = [SINGLE]
    else:
        names = await asyncio.to_thread(shards_of, index)
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> Checkpoint:
        async with gate:
            return await _file(reader, model, name)

    return together(await _all([one(name) for name in names]))


async def _all(jobs: Iterable[Coroutine[Any, Any, Checkpoint]]) -> list[Checkpoint]:
    """All results; the first problem ends the others.

    It is raised outside of the handler, because some Pythons put what is raised inside into a group of its own.
    """
    found: list[FetchProblem] = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
    except* FetchProblem as problems:
        found += [each for each in problems.exceptions if isinstance(each, FetchProblem)]
    if found:
        raise found[0]
    return [task.result() for task in tasks]


def shards_of(index: bytes) -> list[str]:
    """The weight files that an index names. Raises FetchProblem.

    The index of a large mixture is 12 MiB of JSON with 140,000 names, of which only the files are wanted: they are
    picked out one by one, because parsing it whole would hold up every other thread of the process.
    """
    found = {match[1].decode("utf-8", "replace") for match in _FILE_NAME.finditer(index)}
    names = sorted(name for name in found if name.endswith(".safetensors"))
    if not names or len(names) > MOST_FILES or not all(_SHARD.fullmatch(name) and ".." not in name for name in names):
        raise FetchProblem(Reason.MODEL_FACTS_UNREADABLE, f"{INDEX} does not name 1 to {MOST_FILES} safetensors files")
    return names


async def _file(reader: HubReader, model: HubModel, name: str) -> Checkpoint:
    """The sizes of one file: its first bytes, and the rest of the header where that was not enough."""
    address = model.file(name)
    start = await reader.part(address, 0, FIRST_BYTES)
    end = LENGTH_BYTES + header_bytes(start, name)
    if len(start) < end:
        start += await reader.part(address, len(start), end - len(start))
    if len(start) < end:
        raise unreadable(name, "it ends inside its header")
    return await asyncio.to_thread(read_header, start[LENGTH_BYTES:end], name)


__all__ = ["HubModel", "fetch_model", "read_checkpoint", "shards_of"]
