"""How an estimate reads in a terminal. Decides no figure."""

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

GIB = 1 << 30
ROWS = (
    ("weights", "weights_bytes"),
    ("activations", "activation_bytes"),
    ("outside torch", "non_torch_bytes"),
    ("CUDA graphs", "cuda_graph_bytes"),
    ("KV cache", "kv_cache_bytes"),
)


def print_table(result: Mapping[str, Any], request: Mapping[str, Any]) -> None:
    """Memory by rank (equal ranks are one column) and what follows."""
    layout = request["layout"]
    words = f"TP{layout['tensor']} PP{layout['pipeline']} DP{layout['data']}"
    console = Console()
    console.print(
        f"{result['id']} on {request['gpu']['product']}, {words}", style="bold", markup=False, highlight=False
    )
    table = Table(box=SIMPLE_HEAD)
    table.add_column("GiB per GPU")
    columns: dict[tuple[int, ...], list[int]] = {}
    for number, rank in enumerate(result["ranks"]):
        columns.setdefault(tuple(rank[key] for _, key in ROWS), []).append(number)
    for ranks in columns.values():
        table.add_column(f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {ranks[0]}-{ranks[-1]}", justify="right")
    for index, (title, _) in enumerate(ROWS):
        table.add_row(title, *(f"{figures[index] / GIB:.2f}" for figures in columns))
    console.print(table)
    verdict = "fits" if result["fits"] else "does not fit: " + ", ".join(result["reasons"])
    console.print(
        f"{verdict}; {result['kv_cache_tokens']:,} KV tokens, "
        f"{result['max_concurrency']} requests of {result['context_length']:,} tokens"
    )
    for sentence in result["assumptions"]:
        console.print(f"assumed: {sentence}", style="dim")
