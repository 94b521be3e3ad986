"""How far our choice of layout is from aiconfigurator's best, priced by its own numbers.

    SILICON=~/.cache/shardwright/silicon/bin/python
    uv venv ~/.cache/shardwright/silicon && uv pip install --python $SILICON aiconfigurator==0.12.0
    python bench/aiconfigurator_compare.py layouts > layouts.jsonl
    $SILICON bench/aiconfigurator_prices.py < layouts.jsonl > bench/aiconfigurator_prices.jsonl
    python bench/aiconfigurator_compare.py score bench/aiconfigurator_prices.jsonl > bench/aiconfigurator.md

Both get aiconfigurator's link figures. A cell is (model, GPU, GPUs, objective); compared are layouts that both accept.
Throughput: regret = what our layout lacks of the best tokens/s per GPU at 50 ms a token. Latency: what our layout takes
more than the layout that the same rule (fewest GPUs within 10 % of the least time) takes with its prices.
"""

import json
import statistics
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "operator"), str(Path(__file__).parents[1] / "tests")]

from shardwright.api.spec import Priority
from shardwright.catalog.model_rows import bundled_configs
from shardwright.catalog.types import LinkKind, NetworkKind
from shardwright.inventory import Pool
from shardwright.models.parse import parse_config
from shardwright.plan.rank import Option, ranked
from shardwright.plan.types import Layout, PlanRequest
from shardwright.plan.verdicts import Fit, fits, kind_of, question_of
from support.planning import pool, request

MODELS = (
    "meta-llama/Meta-Llama-3.1-8B", "Qwen/Qwen3-32B", "meta-llama/Meta-Llama-3.1-70B", "Qwen/Qwen3-30B-A3B",
    "Qwen/Qwen3-235B-A22B-FP8", "nvidia/Llama-3.1-70B-Instruct-FP8",
)  # fmt: skip
SYSTEMS = {
    "h100_sxm": ("H100-SXM", 450, 50), "h200_sxm": ("H200-SXM", 450, 50), "b200_sxm": ("B200", 900, 50),
    "l40s": ("L40S", 32, 50), "a100_sxm": ("A100-SXM4-80GB", 300, 25),
}  # fmt: skip
"""Our product, and aiconfigurator's GB/s inside a node and between nodes, per GPU and direction."""
COUNTS = (1, 4, 8, 16)
PRIORITIES = (Priority.THROUGHPUT, Priority.LATENCY)


def site(system: str, gpus: int) -> Pool:
    """One node with so many GPUs, or two nodes of eight."""
    product, inside, between = SYSTEMS[system]
    nodes, each = (2, 8) if gpus == 16 else (1, gpus)
    link = LinkKind.PCIE if system == "l40s" else LinkKind.NVSWITCH
    made = pool(f"{system}-{gpus}", product, nodes=nodes, gpus=each, link=link, network=NetworkKind.INFINIBAND)
    return replace(
        made, link_bandwidth=inside * 10**9, network_bandwidth=between * 10**9, cross_island_bandwidth=inside * 10**9
    )


def asked(model: str, priority: Priority) -> PlanRequest:
    """The question, for requests of 1024 + 256 tokens."""
    profile = parse_config(bundled_configs()[model]["config"], model_id=model)
    return request(profile, priority=priority, context_length=1280)


def accepted(question: PlanRequest, where: Pool) -> list[Fit]:
    """Cuts that fit there, in the sizes that aiconfigurator has measured."""
    found = fits(question_of(question), kind_of(where), len(where.nodes), False)
    return [fit for fit in found if all(_power(n) for n in sizes(fit.layout)) and whole(fit.layout)]


def sizes(layout: Layout) -> tuple[int, int, int]:
    """The three sizes."""
    return layout.tensor, layout.pipeline, layout.data


def whole(layout: Layout) -> bool:
    """Whether a replica over several nodes fills them, as aiconfigurator takes for granted."""
    return layout.nodes_per_replica == 1 or layout.gpus_per_pod == 8


def _power(number: int) -> bool:
    return number & (number - 1) == 0


def key(model: str, system: str, layout: Layout) -> tuple[object, ...]:
    """What a price belongs to."""
    return (model, system, *sizes(layout), layout.expert)


def write_layouts() -> None:
    """Every layout that we accept on any cell, once."""
    seen = set()
    for model in MODELS:
        for system in SYSTEMS:
            for gpus in COUNTS:
                question = asked(model, Priority.THROUGHPUT)
                for fit in accepted(question, site(system, gpus)):
                    name = key(model, system, fit.layout)
                    if name not in seen:
                        seen.add(name)
                        tensor, pipeline, data = sizes(fit.layout)
                        row = {"model": model, "system": system, "tensor": tensor, "pipeline": pipeline, "data": data}
                        mixture = question.model.is_mixture_of_experts
                        print(json.dumps({**row, "expert": fit.layout.expert, "mixture": mixture}))


def score(rows: list[dict[str, object]]) -> None:
    """Print the table and the figures."""
    prices = {
        (r["model"], r["system"], r["tensor"], r["pipeline"], r["data"], r["expert"]): r
        for r in rows
        if "error" not in r
    }
    regrets: dict[Priority, list[int]] = defaultdict(list)
    lines, refused = [], []
    for model in MODELS:
        for system in SYSTEMS:
            for gpus in COUNTS:
                for priority in PRIORITIES:
                    cell = f"| {model} | {system} | {gpus} | {priority} |"
                    regret, text = judge(model, system, gpus, priority, prices)
                    if regret is None:
                        refused.append(f"{cell} {text} |")
                    else:
                        regrets[priority].append(regret)
                        lines.append(f"{cell} {text} | {regret / 10:.1f} % |")
    everything = sorted(r for found in regrets.values() for r in found)
    print("# Our choice, priced by aiconfigurator 0.12.0\n\n```text\n" + (__doc__ or "").strip() + "\n```\n")
    for name, found in (*((str(p), sorted(r)) for p, r in regrets.items()), ("all", everything)):
        p90 = found[min(len(found) - 1, int(0.9 * len(found)))]
        print(
            f"- {name}: {len(found)} cells, regret median {statistics.median(found) / 10:.1f} %, p90 {p90 / 10:.1f} %"
        )
    print("\n| model | system | GPUs | objective | ours | its best | regret |\n|---|---|---|---|---|---|---|")
    print("\n".join(lines))
    print("\nNot scored:\n\n| model | system | GPUs | objective | why |\n|---|---|---|---|---|\n" + "\n".join(refused))


def judge(
    model: str, system: str, gpus: int, priority: Priority, prices: dict[tuple[object, ...], dict[str, object]]
) -> tuple[int | None, str]:
    """(regret in tenths of a percent, our layout and its best), or (None, why the cell is not scored)."""
    question, where = asked(model, priority), site(system, gpus)
    options = []
    ours = accepted(question, where)
    for fit in ours:
        price = prices.get(key(model, system, fit.layout))
        if price and price["tokens_per_second_per_gpu"]:
            options.append((Option(where, where.nodes, fit, 1, 1, 1, 0), price))
    if not options:
        return None, f"aiconfigurator prices none of our {len(ours)} layouts" if ours else "we accept no layout"
    priced = {option.fit.layout: price for option, price in options}
    chosen = next(ranked([option for option, _ in options], question, by_total=False)).fit.layout
    best = by_its_prices(priced, priority)
    figure = "tokens_per_second_per_gpu" if priority is Priority.THROUGHPUT else "latency_us"
    mine, its = float(str(priced[chosen][figure])), float(str(priced[best][figure]))
    lost = 1 - mine / its if priority is Priority.THROUGHPUT else mine / its - 1
    return max(0, round(lost * 1000)), f"{chosen.text} {mine:,.0f} | {best.text} {its:,.0f}"


def by_its_prices(priced: dict[Layout, dict[str, object]], priority: Priority) -> Layout:
    """The layout that the objective takes with aiconfigurator's figures."""
    if priority is Priority.THROUGHPUT:
        figures = {cut: float(str(price["tokens_per_second_per_gpu"])) for cut, price in priced.items()}
        return max(priced, key=lambda cut: (figures[cut], -cut.gpus_per_replica))
    least = min(float(str(price["latency_us"])) for price in priced.values())
    near = [cut for cut in priced if float(str(priced[cut]["latency_us"])) <= least * 1.1]
    return min(near, key=lambda cut: (cut.gpus_per_replica, float(str(priced[cut]["latency_us"]))))


if __name__ == "__main__":
    if sys.argv[1:2] == ["layouts"]:
        write_layouts()
    elif len(sys.argv) == 3 and sys.argv[1] == "score":
        score([json.loads(line) for line in Path(sys.argv[2]).read_text("utf-8").splitlines()])
    else:
        sys.exit(__doc__)
