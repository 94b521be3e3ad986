"""The same of a folder on this machine: exact bytes of all tensors, from the heads of its safetensors files."""

from pathlib import Path

import orjson

from shardwright.api.reasons import Reason
from shardwright.fetch.model import CONFIG_LIMIT, INDEX, MOST_FILES, shards_of
from shardwright.fetch.problem import FetchProblem
from shardwright.fetch.safetensors import LENGTH_BYTES, header_bytes, read_header, together, unreadable
from shardwright.models.checkpoint import Checkpoint
from shardwright.models.files import CHECKPOINT, CONFIG, QUANT_CONFIG


def read_folder(folder: Path) -> Checkpoint | None:
    """The checkpoint in a folder; None where it holds no safetensors files. Raises FetchProblem and OSError.

    Where there is an index it says which files count; a file that it names and that is not there raises OSError.
    """
    index = folder / INDEX
    names = shards_of(index.read_bytes()) if index.is_file() else sorted(p.name for p in folder.glob("*.safetensors"))
    return together(_file(folder / name) for name in names[:MOST_FILES]) if names else None


def _file(path: Path) -> Checkpoint:
    with path.open("rb") as file:
        length = header_bytes(file.read(LENGTH_BYTES), path.name)
        header = file.read(length)
    if len(header) < length:
        raise unreadable(path.name, "it ends inside its header")
    return read_header(header, path.name)


def read_files(folder: Path) -> dict[str, str]:
    """A model's files as texts, like those that a hub gives. Raises FetchProblem."""
    try:
        files = {CONFIG: _short(folder / CONFIG)}
        if (folder / QUANT_CONFIG).is_file():
            files[QUANT_CONFIG] = _short(folder / QUANT_CONFIG)
        checkpoint = read_folder(folder)
    except (OSError, ValueError) as error:
        words = f"the model's folder cannot be read: {error}"
        raise FetchProblem(Reason.MODEL_FACTS_UNREADABLE, words) from error
    if checkpoint is not None:
        files[CHECKPOINT] = checkpoint.as_text()
    return files


def _short(path: Path) -> str:
    """A JSON file without its blanks. Raises OSError and ValueError."""
    with path.open("rb") as file:
        content = file.read(CONFIG_LIMIT + 1)
    if len(content) > CONFIG_LIMIT:
        raise ValueError(f"{path.name} is longer than {CONFIG_LIMIT >> 10} KiB")
    return orjson.dumps(orjson.loads(content)).decode()
