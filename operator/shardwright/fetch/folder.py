"""The same of a folder on this machine: exact bytes of all tensors, from the heads of its safetensors files."""

from pathlib import Path

from shardwright.fetch.model import INDEX, MOST_FILES, shards_of
from shardwright.fetch.safetensors import LENGTH_BYTES, Tensors, header_bytes, read_header, summed, unreadable
from shardwright.models.checkpoint import Checkpoint


def read_folder(folder: Path) -> Checkpoint | None:
    """The checkpoint in a folder; None where it holds no safetensors files. Raises FetchProblem and OSError.

    Where there is an index it says which files count; a file that it names and that is not there raises OSError.
    """
    index = folder / INDEX
    names = shards_of(index.read_bytes()) if index.is_file() else sorted(p.name for p in folder.glob("*.safetensors"))
    return summed(_tensors(folder / name) for name in names[:MOST_FILES]) if names else None


def _tensors(path: Path) -> Tensors:
    with path.open("rb") as file:
        length = header_bytes(file.read(LENGTH_BYTES), path.name)
        header = file.read(length)
    if len(header) < length:
        raise unreadable(path.name, "it ends inside its header")
    return read_header(header, path.name)
