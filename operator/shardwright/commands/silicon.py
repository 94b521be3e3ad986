"""`plan --compare silicon`: our ranking beside one by measured kernel times, from the optional package aiconfigurator.

A second opinion for a reader. It decides nothing, the operator never runs it, and its image does not have the package.
"""

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import IO, Any

import yaml

from shardwright.api.spec import Priority
from shardwright.plan.cost import asked_per_replica
from shardwright.plan.rank import LATENCY_TOLERANCE_PERCENT, Option
from shardwright.plan.types import PlanRequest

ABSENT = (
    "--compare silicon needs the optional package aiconfigurator, which is not installed here: "
    "pip install 'shardwright[silicon]', with Python 3.11 to 3.13"
)
SYSTEMS = {
    "A100-SXM4-80GB": "a100_sxm", "A100-80GB-PCIe": "a100_pcie", "A30": "a30", "L4": "l4", "L40S": "l40s",
    "H100-SXM": "h100_sxm", "H100-PCIe": "h100_pcie", "H200-SXM": "h200_sxm", "B200": "b200_sxm", "B300": "b300_sxm",
    "GB200": "gb200", "GB300": "gb300", "RTX-PRO-6000-Server": "rtx_pro_6000_server",
}  # fmt: skip
"""Our products that aiconfigurator 0.12 has measurements of, by its names."""
BATCHES = (1, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512)


@dataclass(frozen=True, slots=True)
class Price:
    """What one layout comes to, by either; 0 = it was not priced, and `why` says why."""

    microseconds: int = 0
    """Of a token at the asked concurrency, at batch 1 where none was asked."""
    milli_tokens_per_gpu: int = 0
    """Most output tokens a second and GPU within the target (at the asked concurrency, if none is), in thousandths."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """One layout in both rankings, both counted from 1; 0 = not ranked."""

    option: Option
    our_rank: int
    its_rank: int
    price: Price


def is_installed() -> bool:
    """Whether the optional package is there."""
    return find_spec("aiconfigurator") is not None


def compare(options: Sequence[Option], request: PlanRequest) -> list[Compared]:
    """Price the options, given best first, and rank them by those prices too."""
    with _quietly():
        prices = [_price(option, request) for option in options]
    priced = [at for at, price in enumerate(prices) if price.milli_tokens_per_gpu]
    least = min((prices[at].microseconds for at in priced), default=0)

    def key(at: int) -> tuple[int, ...]:
        gpus, price = options[at].fit.gpus, prices[at]
        if request.priority is Priority.THROUGHPUT:
            return (-price.milli_tokens_per_gpu, gpus, at)
        if request.priority is Priority.COST:
            return (options[at].gpus, -price.milli_tokens_per_gpu, at)
        near = price.microseconds * 100 <= least * LATENCY_TOLERANCE_PERCENT
        return (not near, gpus if near else 0, price.microseconds, at)

    its = {at: rank for rank, at in enumerate(sorted(priced, key=key), start=1)}
    return [Compared(option, at + 1, its.get(at, 0), prices[at]) for at, option in enumerate(options)]


def records(found: Sequence[Compared]) -> Iterator[dict[str, Any]]:
    """As plain data, in our order."""
    for each in found:
        fit = each.option.fit
        yield {
            "pool": each.option.pool.name, "layout": fit.text, "ourRank": each.our_rank, "itsRank": each.its_rank,
            "ourTokensPerSecondPerGpu": fit.milli_tokens_per_gpu // 1000,
            "itsTokensPerSecondPerGpu": each.price.milli_tokens_per_gpu // 1000,
            "ourDecodeMicroseconds": fit.cost.decode_step_microseconds,
            "itsDecodeMicroseconds": each.price.microseconds,
            "why": each.price.why,
        }  # fmt: skip


def _price(option: Option, request: PlanRequest) -> Price:
    """Ask for rising batches until a token takes longer than the target."""
    system = SYSTEMS.get(option.pool.product.name)
    if system is None:
        return Price(why=f"no measurements of {option.pool.product.name}")
    asked = max(1, asked_per_replica(request) // option.fit.layout.data)
    found: list[tuple[int, int]] = []
    for batch in (asked, *BATCHES):
        try:
            answer = _estimate(option, request, system, batch)
        except Exception as error:  # a foreign package: whatever it raises is a reason not to be priced
            if found:
                break
            return Price(why=" ".join(str(error).split())[:120] or type(error).__name__)
        found.append((max(1, round(float(answer.tpot) * 1000)), round(float(answer.tokens_per_second_per_gpu) * 1000)))
        if len(found) > 1 and found[-1][0] > request.time_per_token_target_microseconds:
            break
    in_time = [speed for time, speed in found if time <= request.time_per_token_target_microseconds]
    return Price(found[0][0], max(in_time, default=found[0][1]))


def _estimate(option: Option, request: PlanRequest, system: str, batch: int) -> Any:  # its own result
    layout, ranks = option.fit.layout, option.fit.layout.tensor * option.fit.layout.data
    experts = {"moe_tp_size": 1 if layout.expert else ranks, "moe_ep_size": ranks if layout.expert else 1}
    return import_module("aiconfigurator.cli.api").cli_estimate(
        request.model.id, system, backend_name=request.engine.value,
        backend_version=_version(system, request.engine.value), isl=request.typical_prompt_tokens,
        osl=request.typical_output_tokens, batch_size=batch, tp_size=layout.tensor, pp_size=layout.pipeline,
        attention_dp_size=layout.data, **(experts if request.model.is_mixture_of_experts else {}),
    )  # fmt: skip


@cache
def _version(system: str, engine: str) -> str:
    """The newest measurements, looked up once: the look-up costs more than an estimate."""
    database = import_module("aiconfigurator_core.sdk.perf_database")
    return str(database.get_latest_database_version(system=system, backend=engine))


@contextmanager
def _quietly() -> Iterator[None]:
    """No logs and warnings of the package, and each of its hundreds of YAML files parsed once, not once an estimate."""
    plain = yaml.safe_load
    known: dict[str, Any] = {}

    def load(stream: str | IO[str]) -> Any:  # as the function that it stands for
        text = stream if isinstance(stream, str) else stream.read()
        if text not in known:
            known[text] = plain(text)
        return copy.deepcopy(known[text])

    yaml.safe_load = load  # type: ignore[assignment]  # a stream of text is all that it is called with
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        yaml.safe_load = plain
        logging.disable(logging.NOTSET)
