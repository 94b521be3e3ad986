"""The engine options that change memory, read tolerantly from the words a user or a log gives.

Decides no default: those depend on the device.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

SUFFIXES = {"k": 1000, "m": 1_000_000, "g": 1_000_000_000, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
LARGEST = 1 << 60


@dataclass(frozen=True, slots=True)
class EngineArguments:
    """Options that change memory; None = the engine's default."""

    max_model_len: int | None = None
    """-1 = the largest that fits."""
    gpu_memory_utilization_ppm: int | None = None
    """Millionths of the total."""
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    kv_cache_dtype: str | None = None
    enforce_eager: bool = False
    block_size: int | None = None
    decode_context_parallel_size: int = 1
    enable_prefix_caching: bool | None = None
    enable_chunked_prefill: bool | None = None
    speculative_method: str = ""
    """`mtp`, `eagle`, `ngram`, …; empty = none."""
    num_speculative_tokens: int = 0
    kv_cache_memory_bytes: int | None = None
    """Fixes KV memory and ignores the fraction."""
    disable_hybrid_kv_cache_manager: bool = False
    num_gpu_blocks_override: int | None = None
    cpu_offload_bytes: int = 0
    mamba_ssm_cache_dtype: str | None = None

    @classmethod
    def from_options(cls, pairs: Iterable[tuple[str, Any]]) -> "EngineArguments":
        """From the engine's own option names, with dashes or underscores.

        Unknown options and unreadable values are left alone.
        """
        options = {str(name).strip().lstrip("-").replace("-", "_"): value for name, value in pairs}
        method, tokens = speculation(options.get("speculative_config"))
        fraction = options.get("gpu_memory_utilization", options.get("kv_cache_free_gpu_memory_fraction"))
        return cls(
            max_model_len=length(options.get("max_model_len", options.get("max_seq_len"))),
            gpu_memory_utilization_ppm=millionths(fraction),
            max_num_seqs=whole(options.get("max_num_seqs", options.get("max_batch_size"))),
            max_num_batched_tokens=whole(options.get("max_num_batched_tokens", options.get("max_num_tokens"))),
            kv_cache_dtype=word(options.get("kv_cache_dtype")),
            enforce_eager=bool(truth(options.get("enforce_eager"))),
            block_size=whole(options.get("block_size")),
            decode_context_parallel_size=whole(options.get("decode_context_parallel_size")) or 1,
            enable_prefix_caching=truth(options.get("enable_prefix_caching")),
            enable_chunked_prefill=truth(options.get("enable_chunked_prefill")),
            speculative_method=method,
            num_speculative_tokens=tokens,
            kv_cache_memory_bytes=whole(options.get("kv_cache_memory_bytes")),
            disable_hybrid_kv_cache_manager=bool(truth(options.get("disable_hybrid_kv_cache_manager"))),
            num_gpu_blocks_override=whole(options.get("num_gpu_blocks_override")),
            cpu_offload_bytes=gibibytes(options.get("cpu_offload_gb")),
            mamba_ssm_cache_dtype=word(options.get("mamba_ssm_cache_dtype")),
        )


def whole(value: object) -> int | None:
    """A positive integer, with vLLM's suffixes (32k = 32000, 32K = 32768); None for anything else."""
    number = number_of(value)
    return number if number is not None and 0 < number <= LARGEST else None


def length(value: object) -> int | None:
    """As `whole`; -1 and `auto` mean the largest that fits."""
    if value in (-1, "-1", "auto"):
        return -1
    return whole(value)


def number_of(value: object) -> int | None:
    """An integer from a number or a text, suffixes allowed."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return value
    text = str(value).strip()
    factor = SUFFIXES.get(text[-1:], 1)
    try:
        return int(float(text[:-1] if factor != 1 else text) * factor)
    except (ValueError, OverflowError):
        return None


def millionths(value: object) -> int | None:
    """A fraction in millionths; None unless it lies between 0 and 1."""
    try:
        number = round(float(str(value)) * 1_000_000)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 < number <= 1_000_000 else None


def gibibytes(value: object) -> int:
    """Bytes of a number of GiB."""
    try:
        return max(0, min(LARGEST, int(float(str(value)) * (1 << 30))))
    except (TypeError, ValueError, OverflowError):
        return 0


def truth(value: object) -> bool | None:
    """A flag; an empty text is a bare flag."""
    if isinstance(value, bool) or value is None:
        return value
    return {"": True, "true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
        str(value).strip().lower()
    )


def word(value: object) -> str | None:
    """A word in lower case; None when absent or `auto`."""
    text = str(value).strip().lower() if value is not None else ""
    return text if text not in ("", "auto", "none", "null") else None


def speculation(value: object) -> tuple[str, int]:
    """(method, draft tokens) of a speculative configuration: JSON, or the words a log prints."""
    if not value:
        return "", 0
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            text = str(value).lower()
            method = next(
                (m for m in ("mtp", "eagle3", "eagle", "dspark", "dflash", "ngram", "medusa") if m in text), "draft"
            )
            digits = [int(t) for t in text.replace("=", " ").replace(")", " ").replace(",", " ").split() if t.isdigit()]
            return method, min(digits[-1], 64) if digits else 1
    if isinstance(value, dict):
        method = str(value.get("method") or ("draft" if value.get("model") else "ngram")).lower()
        return ("mtp" if method.endswith("mtp") else method), min(64, whole(value.get("num_speculative_tokens")) or 1)
    return "draft", 1
