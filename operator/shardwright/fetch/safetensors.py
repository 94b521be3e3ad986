"""The head of a safetensors file: eight bytes of length, then JSON that names each tensor, its type and its place.

Pure; see the format's own description at https://github.com/huggingface/safetensors.
"""

from collections import Counter
from collections.abc import Iterable

import orjson

from shardwright.api.reasons import Reason
from shardwright.fetch.problem import FetchProblem
from shardwright.models.checkpoint import Checkpoint

LENGTH_BYTES = 8
MOST_HEADER_BYTES = 32 << 20
"""The format allows 100 MB; the largest published shards need less than 5."""


def header_bytes(start: bytes, name: str) -> int:
    """Length of the JSON that follows the first eight bytes. Raises FetchProblem."""
    length = int.from_bytes(start[:LENGTH_BYTES], "little")
    if len(start) < LENGTH_BYTES or not 2 <= length <= MOST_HEADER_BYTES:
        raise unreadable(name, f"its header would be {length:,} bytes long")
    return length


def read_header(header: bytes, name: str) -> Checkpoint:
    """The exact sizes of one file's tensors. Raises FetchProblem."""
    sizes: Counter[str] = Counter()
    tensors = 0
    try:
        for tensor, row in orjson.loads(header).items():
            if tensor != "__metadata__":
                begin, end = row["data_offsets"]
                if not 0 <= begin <= end:
                    raise unreadable(name, "a tensor in it ends before it begins")
                sizes[str(row["dtype"])] += int(end) - int(begin)
                tensors += 1
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise unreadable(name, "its header is not what the format asks for") from error
    return Checkpoint(tuple(sorted(sizes.items())), tensors, 1)


def together(files: Iterable[Checkpoint]) -> Checkpoint:
    """All files as one checkpoint."""
    sizes: Counter[str] = Counter()
    tensors = count = 0
    for file in files:
        sizes.update(dict(file.bytes_by_dtype))
        tensors += file.tensors
        count += file.files
    return Checkpoint(tuple(sorted(sizes.items())), tensors, count)


def unreadable(name: str, why: str) -> FetchProblem:
    """A file that is no safetensors file."""
    return FetchProblem(Reason.MODEL_FACTS_UNREADABLE, f"{name} is not a safetensors file: {why}")
