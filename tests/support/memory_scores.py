"""How far the forecast is from what engines logged: records of start-up logs and published layouts against answers."""

import json
import statistics
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from shardwright.catalog.model_rows import bundled_configs
from shardwright.commands.estimate_requests import answer

DATA = Path(__file__).parents[1] / "data" / "memory"
GIB = 1 << 30
OPTIONS = {
    "max_model_len": "max_model_len", "gpu_memory_utilization": "gpu_memory_utilization",
    "max_num_seqs": "max_num_seqs", "max_num_batched_tokens": "max_num_batched_tokens",
    "kv_cache_dtype": "kv_cache_dtype",
    "enforce_eager": "enforce_eager", "block_size": "block_size", "dcp": "decode_context_parallel_size",
    "prefix_caching": "enable_prefix_caching", "chunked_prefill": "enable_chunked_prefill",
    "speculative": "speculative_config",
}  # fmt: skip
DISTORTED = {"patched_engine", "cpu_offload", "includes_speculative_draft", "unified_memory", "unit_ambiguous"}
UNCOUNTABLE = {"kv_tokens_pinned", "token_count_is_concurrency_times_max_len", "values_mix_pipeline_ranks"} | DISTORTED
REFUSED = {
    "kv_too_small_for_max_model_len", "no_kv_memory", "oom", "rejected_divisibility",
    "rejected_max_num_seqs_over_mamba_blocks",
}  # fmt: skip
UNJUDGEABLE = {"verdict_not_judgeable", "max_len_reduced_by_engine"} | DISTORTED
Record = dict[str, Any]


@dataclass
class Score:
    """Relative errors by figure, and verdicts that went wrong."""

    errors: dict[str, list[float]] = field(default_factory=dict)
    false_fits: list[str] = field(default_factory=list)
    false_refusals: list[str] = field(default_factory=list)
    judged: int = 0

    def median(self, figure: str) -> float:
        return statistics.median(self.errors[figure])

    def quantile(self, figure: str, share: float) -> float:
        values = sorted(self.errors[figure])
        return values[min(len(values) - 1, int(share * len(values)))]


def records() -> list[Record]:
    return read_lines("logs.jsonl")


def read_lines(name: str) -> list[Record]:
    return [json.loads(line) for line in (DATA / name).read_text("utf-8").splitlines()]


@cache
def config_folder() -> Path:
    """The bundled configs as files, as a user would have them."""
    folder = Path(tempfile.mkdtemp(prefix="shardwright-configs-"))
    for name, row in bundled_configs().items():
        stem = name.replace("/", "--")
        (folder / f"{stem}.json").write_text(json.dumps(row["config"]), "utf-8")
        if "quant_config" in row:
            (folder / f"{stem}.hf_quant_config.json").write_text(json.dumps(row["quant_config"]), "utf-8")
    return folder


def config_path(name: str) -> str:
    return str(config_folder() / (name.replace("/", "--") + ".json"))


def request(record: Record) -> Record:
    """The question that a log answers."""
    total = record["measured"].get("gpu_total_gib")
    return {
        "id": record["id"],
        "model": {
            "config": config_path(record["config"]), "config_match": record.get("config_match"),
            "model_id": record["model_id"], "dtype": record.get("dtype"), "quantization": record.get("quantization"),
        },
        "gpu": {
            "product": record["gpu"], "marketing_gb": record.get("gpu_mem_gb"),
            "memory_mib": round(total * 1024) if total else None,
        },
        "layout": {
            "tensor": record.get("tp", 1), "pipeline": record.get("pp", 1), "data": record.get("dp", 1),
            "expert": bool(record.get("ep")),
        },
        "nodes": record.get("n_nodes", 1),
        "engine": {"name": "vllm", "version": record.get("engine_version")},
        "engine_args": {option: record[key] for key, option in OPTIONS.items() if key in record},
    }  # fmt: skip


def with_kv_memory(question: Record, gib: float) -> Record:
    """The same with the KV memory given, so that only its division is judged."""
    return question | {"engine_args": question["engine_args"] | {"kv_cache_memory_bytes": round(gib * GIB)}}


def is_clean(record: Record, distortions: set[str]) -> bool:
    return not distortions & set(record.get("caution", ()))


def comparisons(record: Record) -> Iterator[tuple[str, float, float]]:
    """(figure, forecast, logged) for everything that a log states."""
    question, measured = request(record), record["measured"]
    ranks = answer(question)["ranks"]
    exact = record.get("config_match") in ("exact", "equivalent_dimensions") and is_clean(record, DISTORTED)
    told = exact and record.get("engine_version") and measured.get("gpu_total_gib")
    kv = measured.get("kv_cache_gib_per_rank") or 0
    if measured.get("weights_gib_per_rank") and exact:
        yield "weights", max(r["weights_bytes"] for r in ranks), measured["weights_gib_per_rank"] * GIB
    if told and measured.get("activation_peak_gib", 0) > 0:
        yield "activation", max(r["activation_bytes"] for r in ranks), measured["activation_peak_gib"] * GIB
    if told and kv > 0:
        yield "kv_memory", min(r["kv_cache_bytes"] for r in ranks), kv * GIB
    if kv > 0 and measured.get("kv_cache_tokens") and is_clean(record, UNCOUNTABLE):
        tokens = answer(with_kv_memory(question, kv))["kv_cache_tokens"]
        yield "kv_tokens_of_given_memory", tokens, measured["kv_cache_tokens"]


def score(rows: Iterable[Record]) -> Score:
    """All figures and verdicts of these records."""
    result = Score()
    for record in rows:
        for figure, forecast, logged in comparisons(record):
            result.errors.setdefault(figure, []).append(abs(forecast - logged) / logged)
        judge(record, result)
    return result


def judge(record: Record, result: Score) -> None:
    """Compare a verdict where the question lets it be known."""
    verdict, stated = record.get("verdict"), record.get("tp") or record.get("n_gpus") == 1
    if not stated or verdict not in REFUSED | {"fits"} or not is_clean(record, UNJUDGEABLE):
        return
    result.judged += 1
    fits = answer(request(record))["fits"]
    if fits and verdict != "fits":
        result.false_fits.append(record["id"])
    if not fits and verdict == "fits":
        result.false_refusals.append(record["id"])


def layouts() -> list[Record]:
    """Published deployments, as questions."""
    rows = read_lines("layouts.jsonl")
    return [row | {"model": row["model"] | {"config": config_path(row["config"])}} for row in rows]


def hopeless(question: Record) -> Record:
    """The same on GPUs of one GiB."""
    return question | {"gpu": question["gpu"] | {"memory_mib": 1024, "marketing_gb": 1}}
