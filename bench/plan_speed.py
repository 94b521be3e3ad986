"""How long a plan takes: 16 nodes in 2 pools, and 10,000 nodes in 40 pools of as many kinds.

    python bench/plan_speed.py            # prints a table; the committed figures are in bench/plan_speed.md

cold = the first plan for this model, engine and these kinds of GPU in a process; warm = the next one after the
inventory changed (GPUs were taken on a node of each pool), which is what an operator meets: pure pieces are kept, free
GPUs are counted anew.
The GPU catalogue and engine facts are read before, once in a process.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "operator"), str(Path(__file__).parents[1] / "tests")]

from shardwright.api.spec import Priority
from shardwright.inventory import Inventory
from shardwright.models.profile import ModelProfile
from shardwright.plan.choose import choose
from shardwright.plan.memory_versions import version_facts
from support.planning import dense, dense_70b, inventory, mixture, pool, request

PRODUCTS = ("H100-SXM", "L40S", "A100-SXM4-80GB", "A10", "H200-SXM", "B200", "L4", "MI300X", "A40", "RTX-4090")
REPEATS = 15


def large() -> Inventory:
    """10,000 nodes: ten products, with 8 or 4 GPUs, on InfiniBand of two speeds."""
    kinds = [(name, gpus, speed) for name in PRODUCTS for gpus in (8, 4) for speed in (25, 50)]
    return inventory(
        *(
            pool(
                f"{name.lower()}-{gpus}-{speed}", name, nodes=250, gpus=gpus, network_bandwidth=speed * 10**9,
                free=[(number * 7) % (gpus + 1) for number in range(250)],
            )
            for name, gpus, speed in kinds
        )
    )  # fmt: skip


def small() -> Inventory:
    """16 nodes in two pools."""
    return inventory(pool(nodes=8), pool("l40s-4", "L40S", nodes=8, gpus=4, islands=2))


def forget() -> None:
    """Empty all that planning keeps between plans, but not the catalogue and the facts of engine versions."""
    for name, module in list(sys.modules.items()):
        if name.startswith("shardwright.plan."):
            for kept in vars(module).values():
                ours = getattr(kept, "__module__", "").startswith(("shardwright.plan.", "shardwright.models."))
                if ours and hasattr(kept, "cache_clear") and kept is not version_facts:
                    kept.cache_clear()


def milliseconds(action: Callable[[], object]) -> float:
    """Processor time of one call: what it takes on a core of its own, whatever else this machine does."""
    start = time.process_time()
    action()
    return (time.process_time() - start) * 1000


def busier(have: Inventory, taken: int) -> Inventory:
    """The inventory after other pods took GPUs on the first node of each pool."""
    return Inventory(
        tuple(
            replace(p, nodes=(replace(p.nodes[0], free_gpus=taken % (p.gpus_per_node + 1)), *p.nodes[1:]))
            for p in have.pools
        )
    )


def measure(name: str, have: Inventory, model: ModelProfile, **changes: object) -> None:
    """One line of the table."""
    asked = request(model, **changes)
    version_facts(asked.engine, asked.engine_version)
    cold = []
    for _ in range(3):
        forget()
        cold.append(milliseconds(lambda: choose(asked, have)))
    inventories = [busier(have, number) for number in range(REPEATS)]
    warm = [milliseconds(lambda each=each: choose(asked, each)) for each in inventories]
    nodes = sum(len(p.nodes) for p in have.pools)
    best = f"{min(cold):.1f} | {statistics.median(warm):.1f} | {max(warm):.1f}"
    print(f"| {name} | {nodes:,} | {len(have.pools)} | {best} | {choose(asked, have).why.split(':')[0]} |")


def main() -> None:
    """Print the table."""
    print(
        "| model | nodes | pools | cold ms | warm ms, median | warm ms, worst | plan |\n|---|---|---|---|---|---|---|"
    )
    for have in (small(), large()):
        measure("8B", have, dense())
        measure("70B", have, dense_70b(), priority=Priority.LATENCY)
        measure("70B, 100 requests at 32k", have, dense_70b(), concurrency=100, context_length=32768)
        measure("39B of 64 experts", have, mixture())


if __name__ == "__main__":
    main()
