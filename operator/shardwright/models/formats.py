"""How weights are stored: bits, scales, blocks.

One table from the words people and checkpoints use; knows no model and no engine.
"""

from dataclasses import dataclass

from shardwright.api.reasons import Reason
from shardwright.models.errors import UnreadableModel


@dataclass(frozen=True, slots=True)
class WeightFormat:
    """The storage of one quantised matrix, all integers."""

    name: str
    """The method: `fp8`, `int4`, `nvfp4`, …"""
    bits: int
    group_size: int = 0
    """Inputs that share a scale; 0 = one scale per output or per tensor."""
    scale_bits: int = 32
    zero_point_bits: int = 0
    block_rows: int = 0
    block_columns: int = 0
    """A two-dimensional block that shares a scale."""
    per_output: bool = False
    """One scale per output (per channel) rather than per tensor."""
    experts_only: bool = False
    """A checkpoint in this method leaves all but the routed experts in the model's dtype."""

    def stored_bytes(self, rows: int, columns: int) -> int:
        """Bytes of one matrix with its scales and zero points."""
        return self.value_bytes(rows, columns) + self.scale_bytes(rows, columns)

    def value_bytes(self, rows: int, columns: int) -> int:
        """Bytes of the quantised values alone."""
        return rows * columns * self.bits // 8

    def scale_bytes(self, rows: int, columns: int) -> int:
        """Bytes of scales and zero points."""
        if self.block_rows and self.block_columns:
            return -(-rows // self.block_rows) * -(-columns // self.block_columns) * self.scale_bits // 8
        if self.group_size:
            return rows * -(-columns // self.group_size) * (self.scale_bits + self.zero_point_bits) // 8
        return rows * self.scale_bits // 8 if self.per_output else self.scale_bits // 8


FP8 = WeightFormat("fp8", 8)
FP8_CHANNEL = WeightFormat("fp8", 8, per_output=True)
FP8_BLOCK = WeightFormat("fp8", 8, block_rows=128, block_columns=128)
INT8 = WeightFormat("int8", 8, per_output=True)
INT4 = WeightFormat("int4", 4, group_size=128, scale_bits=16)
INT4_ZERO = WeightFormat("int4", 4, group_size=128, scale_bits=16, zero_point_bits=4)
NVFP4 = WeightFormat("nvfp4", 4, group_size=16, scale_bits=8)
MXFP4 = WeightFormat("mxfp4", 4, group_size=32, scale_bits=8)
MXFP8 = WeightFormat("mxfp8", 8, group_size=32, scale_bits=8)
MXFP4_EXPERTS = WeightFormat("mxfp4", 4, group_size=32, scale_bits=8, experts_only=True)
BNB4 = WeightFormat("bitsandbytes", 4, group_size=64, scale_bits=8)
INT4_EXPERTS = WeightFormat("int4", 4, group_size=32, scale_bits=16, experts_only=True)

UNQUANTIZED = frozenset(
    {"none", "bf16", "bfloat16", "fp16", "float16", "half", "fp32", "float32", "auto", "unquantized", "16", "16bit"}
)
CONTAINERS = frozenset(
    {"compressedtensors", "modelopt", "inc", "quark", "torchao", "autoround", "hqq", "gguf", "mixedprecision"}
)
"""Words that name a file format and not the bits in it."""

WORDS: tuple[tuple[str, WeightFormat], ...] = (
    ("nvfp4", NVFP4),
    ("modeloptfp4", NVFP4),
    ("w4a4fp4", NVFP4),
    ("mxfp8", MXFP8),
    ("mxfp4", MXFP4),
    ("fp4", NVFP4),
    ("fp8block", FP8_BLOCK),
    ("fp8dynamic", FP8_CHANNEL),
    ("fp8pertensor", FP8),
    ("fbgemmfp8", FP8_CHANNEL),
    ("ptpc", FP8_CHANNEL),
    ("w8a8fp8", FP8_CHANNEL),
    ("fp8", FP8),
    ("float8", FP8),
    ("e4m3", FP8),
    ("w8a8", INT8),
    ("w8a16", INT8),
    ("int8", INT8),
    ("8bit", INT8),
    ("q8", INT8),
    ("llmint8", INT8),
    ("awq", INT4_ZERO),
    ("gptq", INT4),
    ("w4a16", INT4),
    ("w4afp8", INT4),
    ("w4g64", WeightFormat("int4", 4, group_size=64, scale_bits=16)),
    ("int4", INT4),
    ("autoround", INT4),
    ("bitsandbytes", BNB4),
    ("bnb", BNB4),
    ("nf4", BNB4),
    ("4bit", INT4),
    ("q4", INT4),
)
"""Matched in order as substrings of the word without punctuation."""  # fmt: skip


def plain(word: str) -> str:
    """The word in lower case without punctuation."""
    return "".join(c for c in word.lower() if c.isalnum())


def format_from_word(word: str) -> WeightFormat | None:
    """The format a word names; None = unquantised. Raises `UnreadableModel` for a word that says nothing about bits."""
    simple = plain(word)
    if simple in UNQUANTIZED:
        return None
    if simple.startswith("gptq") and "8bit" in simple:
        return INT8
    for key, value in WORDS:
        if key in simple:
            return value
    raise UnreadableModel(
        Reason.UNKNOWN_QUANTIZATION,
        f"quantization {word!r} is not known: use one of fp8, int8, int4, awq, gptq, nvfp4, mxfp4, bitsandbytes, none",
    )


def is_container(word: str) -> bool:
    """Whether the word names only a file format."""
    return plain(word) in CONTAINERS


def format_from_id(model_id: str) -> WeightFormat | None:
    """The format that a model's id boasts of, if it does."""
    simple = plain(model_id.rsplit("/", 1)[-1])
    for key, value in WORDS:
        if key in simple:
            return value
    return None
