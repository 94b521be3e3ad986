"""The head of a safetensors file: eight bytes of length, then JSON that names each tensor, its type and its place.

Pure; see the format's own description at https://github.com/huggingface/safetensors.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import orjson

from shardwright.api.reasons import Reason
from shardwright.fetch.problem import FetchProblem
from shardwright.models.checkpoint import Checkpoint

LENGTH_BYTES = 8
MOST_HEADER_BYTES = 32 << 20
"""The format allows 100 MB; the largest published shards need less than 5."""
Tensors = Mapping[str, tuple[str, int]]
"""Name -> (dtype, bytes)."""


def header_bytes(start: bytes, name: str) -> int:
    """Length of the JSON that follows the first eight bytes. Raises FetchProblem."""
    length = int.from_bytes(start[:LENGTH_BYTES], "little")
    if len(start) < LENGTH_BYTES or not 2 <= length <= MOST_HEADER_BYTES:
        raise unreadable(name, f"its header would be {length:,} bytes long")
    return length


def read_header(header: bytes, name: str) -> Tensors:
    """The tensors that a header names, by exact bytes. Raises FetchProblem."""
    try:
        document = orjson.loads(header)
        found = {}
        for tensor, row in document.items():
            if tensor != "__metadata__":
                begin, end = row["data_offsets"]
                found[str(tensor)] = (str(row["dtype"]), int(end) - int(begin))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise unreadable(name, "its header is not what the format asks for") from error
    if any(size < 0 for _, size in found.values()):
        raise unreadable(name, "a tensor in it ends before it begins")
    return found


def summed(files: Iterable[Tensors]) -> Checkpoint:
    """All files together; a tensor that two files hold counts once."""
    tensors: dict[str, tuple[str, int]] = {}
    count = 0
    for file in files:
        tensors.update(file)
        count += 1
    sizes: Counter[str] = Counter()
    for dtype, size in tensors.values():
        sizes[dtype] += size
    return Checkpoint(tuple(sorted(sizes.items())), len(tensors), count)


def unreadable(name: str, why: str) -> FetchProblem:
    """A file that is no safetensors file."""
    return FetchProblem(Reason.MODEL_FACTS_UNREADABLE, f"{name} is not a safetensors file: {why}")
