"""Prices layouts with aiconfigurator; runs in a virtual environment of its own that has it (never in the project's).

Reads one JSON object a line on standard input: {"model", "system", "tensor", "pipeline", "data", "expert", "mixture"};
writes the same with {"latency_us", "tokens_per_second_per_gpu"} or {"error"}. Aggregated serving on vLLM, prompts of
1024 tokens, answers of 256. Throughput is the best over batch sizes whose time per token is at most 50 ms; latency is
that of batch 1.
"""

import copy
import json
import logging
import sys
import warnings
from functools import cache
from typing import IO, Any

import yaml

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

PROMPT, OUTPUT, TARGET_MS = 1024, 256, 50.0
BATCHES = (1, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512)

_plain_load = yaml.safe_load


@cache
def _loaded(text: str) -> object:
    return _plain_load(text)


def _load_once(stream: str | IO[str]) -> object:
    """Parse each file once: every estimate reads the same hundreds of them."""
    text = stream if isinstance(stream, str) else stream.read()
    return copy.deepcopy(_loaded(text))


yaml.safe_load = _load_once


@cache
def _version(system: str) -> str:
    """The newest measurements of a system, looked up once: the look-up costs more than an estimate."""
    from aiconfigurator_core.sdk.perf_database import get_latest_database_version  # noqa: PLC0415

    return get_latest_database_version(system=system, backend="vllm")


def price(row: dict[str, Any]) -> dict[str, Any]:
    """Best throughput and least latency of one layout."""
    from aiconfigurator.cli.api import cli_estimate  # noqa: PLC0415  # after yaml is patched

    ranks = row["tensor"] * row["data"]
    experts = {"moe_tp_size": 1 if row["expert"] else ranks, "moe_ep_size": ranks if row["expert"] else 1}
    best, latency = 0.0, None
    for batch in BATCHES:
        try:
            found = cli_estimate(
                row["model"], row["system"], backend_name="vllm", backend_version=_version(row["system"]),
                isl=PROMPT, osl=OUTPUT, batch_size=batch, tp_size=row["tensor"], pp_size=row["pipeline"],
                attention_dp_size=row["data"],
                **(experts if row["mixture"] else {}),
            )  # fmt: skip
        except Exception as error:
            if batch == 1:
                return {"error": " ".join(str(error).split())[:160]}
            break
        if batch == 1:
            latency = float(found.tpot)
        if float(found.tpot) > TARGET_MS and batch > 1:
            break
        if float(found.tpot) <= TARGET_MS:
            best = max(best, float(found.tokens_per_second_per_gpu))
    return {"latency_us": round(latency * 1000), "tokens_per_second_per_gpu": round(best, 2)}


def main() -> None:
    """Price every line."""
    for line in sys.stdin:
        row = json.loads(line)
        print(json.dumps({**row, **price(row)}), flush=True)


if __name__ == "__main__":
    main()
