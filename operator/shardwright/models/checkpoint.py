"""What a checkpoint's own files say of their size, and what that changes in a profile made from config.json.

Pure: the figures come from safetensors headers that somebody else read. Knows no network and no file.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from shardwright.models.profile import Matrix, ModelProfile, Part

TOLERANCE_PERMILLE = 20
"""Files and arithmetic within 2 % agree: small buffers, scales and paddings differ between exporters."""
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Sizes of all tensors of a checkpoint, as its headers state them."""

    bytes_by_dtype: tuple[tuple[str, int], ...]
    """Sorted by dtype, in the words of safetensors: BF16, F8_E4M3, U8, …"""
    tensors: int
    files: int

    @property
    def total_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(size for _, size in self.bytes_by_dtype)

    def as_text(self) -> str:
        """As JSON, the same for the same content."""
        document = {"bytesByDtype": dict(self.bytes_by_dtype), "tensors": self.tensors, "files": self.files}
        return json.dumps(document, sort_keys=True, separators=(",", ":"))


def checkpoint_from_text(text: str) -> Checkpoint | None:
    """What `as_text` wrote; None for anything else."""
    try:
        document = json.loads(text)
        sizes = {str(dtype): int(size) for dtype, size in document["bytesByDtype"].items()}
        found = Checkpoint(tuple(sorted(sizes.items())), int(document["tensors"]), int(document["files"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if all(size >= 0 for size in sizes.values()) and found.total_bytes > 0 else None


def with_checkpoint(profile: ModelProfile, own: ModelProfile, checkpoint: Checkpoint) -> ModelProfile:
    """The profile, with what the files say stated as a check or, where they hold more, as a scale of the weights.

    `own` is the same model as its checkpoint stores it. Weights are never scaled down: a forecast that is too small
    kills pods, one that is too large costs room.
    """
    held = loaded_bytes(checkpoint, own)
    least, most = stored_bytes(own), stored_bytes(own, drafts=True)
    known = replace(profile, checkpoint_bytes=checkpoint.total_bytes)
    figures = f"the checkpoint's {checkpoint.tensors:,} tensors hold {gib(held)}, its config explains {gib(most)}"
    if held * 1000 > most * (1000 + TOLERANCE_PERMILLE):
        scale = -(-held * 1000 // max(1, most))
        return replace(known, weights_scale_permille=scale).with_assumptions(
            f"{figures}: all weights are counted {scale / 1000:.3f} times"
        )
    if held * 1000 < least * (1000 - TOLERANCE_PERMILLE):
        return known.with_assumptions(f"{figures}: the larger of the two is counted")
    return known


def loaded_bytes(checkpoint: Checkpoint, own: ModelProfile) -> int:
    """Bytes after the engine's cast: a checkpoint that is mostly float32 is run in 16 bits."""
    wide = dict(checkpoint.bytes_by_dtype).get("F32", 0)
    if own.dtype_bytes == 2 and wide * 2 > checkpoint.total_bytes:
        return checkpoint.total_bytes - wide // 2
    return checkpoint.total_bytes


def stored_bytes(profile: ModelProfile, *, drafts: bool = False) -> int:
    """Bytes of all matrices as they are stored, before any engine splits, fuses or rounds them."""
    outer = _stored((*profile.embedding, *profile.head, *profile.vision), profile)
    sizes = {id(layer): _stored(layer.matrices, profile) for layer in (*profile.layers, *profile.draft_layers)}
    layers = (*profile.layers, *(profile.draft_layers if drafts else ()))
    return outer + sum(sizes[id(layer)] for layer in layers)


def _stored(matrices: Iterable[Matrix], profile: ModelProfile) -> int:
    return sum(_matrix_bytes(matrix, profile) for matrix in matrices if matrix.part is not Part.ABSORBED)


def _matrix_bytes(matrix: Matrix, profile: ModelProfile) -> int:
    bias = matrix.count * matrix.rows * profile.dtype_bytes if matrix.bias else 0
    if matrix.format is not None:
        return bias + matrix.count * matrix.format.stored_bytes(matrix.rows, matrix.columns)
    return bias + matrix.count * matrix.rows * matrix.columns * (matrix.element_bytes or profile.dtype_bytes)


def gib(size: int) -> str:
    """Bytes for people."""
    return f"{size / GIB:.2f} GiB"
