"""A plan as an SVG: one memory bar for each rank of a replica, and the replicas on their nodes, GPUs and links.

Draws what the plan says and decides nothing. Which GPU of a node a pod gets is the device plugin's choice, so GPUs are
filled in order and the picture says so.
"""

from collections.abc import Iterator, Sequence
from html import escape

from shardwright.inventory import Inventory, Pool
from shardwright.plan.explain import gib
from shardwright.plan.types import MemoryForecast, Placement, Plan, RankMemory

WIDTH = 960
_MOST_NODES = 12
_BAR_WIDTH, _BAR_HEIGHT = 620, 18
_GPU, _GAP = 34, 6
PARTS = (
    ("weights", "#3b6ea5"), ("activations", "#7fb069"), ("outside torch", "#8d8d8d"), ("CUDA graphs", "#b48ead"),
    ("KV cache", "#e6aa68"), ("not used", "#eeeeee"),
)  # fmt: skip
STAGES = ("#3b6ea5", "#7fb069", "#e6aa68", "#b48ead", "#c8553d", "#4d9078", "#947bd3", "#8d8d8d")


def svg(plan: Plan, inventory: Inventory, *, title: str = "") -> str:
    """One SVG document; light background, no scripts, no fonts of its own."""
    lines = [_text(20, 28, f"{title}: {plan.why}" if title else plan.why, size=14, bold=True)]
    y = 52
    for placement in plan.placements:
        drawn, y = _memory(placement, y)
        lines += drawn
        pool = inventory.pool(placement.pool)
        if pool:
            drawn, y = _nodes(placement, pool, y)
            lines += drawn
    if not plan.placements and plan.nearest:
        lines.append(_text(20, y, plan.nearest, size=12))
        y += 20
    body = "\n".join(lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 12}" viewBox="0 0 {WIDTH} {y + 12}" '
        f'font-family="sans-serif">\n<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _memory(placement: Placement, y: int) -> tuple[list[str], int]:
    """Bars of one replica's ranks; equal neighbours share one."""
    heading = f"Memory of one GPU: {placement.layout.text} on {placement.product}"
    lines = [_text(20, y, heading, size=13, bold=True), *_legend(y + 20)]
    y += 36
    for label, rank in _distinct(placement):
        lines.append(_text(20, y + 13, label, size=11))
        lines += _bar(160, y, rank, placement.memory)
        y += _BAR_HEIGHT + 6
    limit = 160 + _BAR_WIDTH * placement.memory.requested_bytes // max(1, placement.memory.total_bytes)
    lines.append(f'<line x1="{limit}" y1="{y - 4}" x2="{limit}" y2="{y + 2}" stroke="#333333"/>')
    used = f"the engine may use {gib(placement.memory.requested_bytes)} of {gib(placement.memory.total_bytes)}"
    lines.append(_text(limit, y + 13, used, size=10, anchor="end"))
    return lines, y + 34


def _distinct(placement: Placement) -> Iterator[tuple[str, RankMemory]]:
    """(label, rank) with runs of equal ranks as one."""
    ranks = placement.memory.ranks
    start = 0
    for index in range(1, len(ranks) + 1):
        if index == len(ranks) or ranks[index] != ranks[start]:
            yield (f"rank {start}" if index == start + 1 else f"ranks {start} to {index - 1}"), ranks[start]
            start = index


def _bar(x: int, y: int, rank: RankMemory, memory: MemoryForecast) -> list[str]:
    total = max(1, memory.total_bytes)
    sizes = [
        rank.weights_bytes,
        rank.activation_bytes,
        rank.non_torch_bytes,
        rank.cuda_graph_bytes,
        rank.kv_cache_bytes,
    ]
    sizes.append(total - sum(sizes))
    lines, at = [], 0
    for (name, colour), size in zip(PARTS, sizes, strict=True):
        begin, end = x + _BAR_WIDTH * at // total, x + _BAR_WIDTH * (at + max(0, size)) // total
        lines.append(
            f'<rect x="{begin}" y="{y}" width="{end - begin}" height="{_BAR_HEIGHT}" fill="{colour}">'
            f"<title>{escape(name)}: {gib(size)}</title></rect>"
        )
        if end - begin > 80:
            lines.append(_text((begin + end) // 2, y + 13, f"{name} {gib(size)}", size=10, anchor="middle"))
        at += max(0, size)
    return lines


def _legend(y: int) -> list[str]:
    lines = []
    for index, (name, colour) in enumerate(PARTS):
        x = 160 + index * 125
        lines.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colour}" stroke="#999999"/>')
        lines.append(_text(x + 15, y, name, size=10))
    return lines


def _nodes(placement: Placement, pool: Pool, y: int) -> tuple[list[str], int]:
    """Draw the nodes that replicas use, their GPUs in islands, each GPU with its replica and pipeline stage."""
    shown = list(dict.fromkeys(name for nodes in placement.replica_nodes for name in nodes))
    taken = _ranks_by_node(placement)
    inside = f"{pool.link} {pool.link_bandwidth // 10**9} GB/s inside"
    link = f"{inside}, {pool.network} {pool.network_bandwidth // 10**9} GB/s between nodes"
    lines = [_text(20, y, f"Nodes of pool {pool.name}: {link}", size=13, bold=True)]
    y += 14
    for name in shown[:_MOST_NODES]:
        drawn, y = _node(name, pool, taken[name], y)
        lines += drawn
    if len(shown) > _MOST_NODES:
        lines.append(_text(20, y + 12, f"… and {len(shown) - _MOST_NODES} more nodes alike", size=11))
        y += 20
    note = "Colour = pipeline stage; r = replica, t = tensor rank. Which GPUs a pod gets is the device plugin's choice."
    lines.append(_text(20, y + 14, note, size=10))
    return lines, y + 38


def _node(name: str, pool: Pool, taken: Sequence[tuple[int, int, int]], y: int) -> tuple[list[str], int]:
    lines = [_text(20, y + 24, name, size=11)]
    x, index = 160, 0
    for island in pool.islands or (tuple(range(pool.gpus_per_node)),):
        width = len(island) * (_GPU + _GAP) + _GAP
        lines.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{_GPU + 12}" rx="6" fill="#f6f6f6" stroke="#999999"/>'
        )
        for place in range(len(island)):
            rank = taken[index] if index < len(taken) else None
            lines += _gpu(x + _GAP + place * (_GPU + _GAP), y + 6, rank)
            index += 1
        x += width + 10
    return lines, y + _GPU + 20


def _gpu(x: int, y: int, rank: tuple[int, int, int] | None) -> list[str]:
    if rank is None:
        return [f'<rect x="{x}" y="{y}" width="{_GPU}" height="{_GPU}" rx="3" fill="#ffffff" stroke="#bbbbbb"/>']
    replica, stage, tensor = rank
    colour = STAGES[stage % len(STAGES)]
    return [
        f'<rect x="{x}" y="{y}" width="{_GPU}" height="{_GPU}" rx="3" fill="{colour}"/>',
        _text(x + _GPU // 2, y + 15, f"r{replica}", size=10, anchor="middle", colour="#ffffff"),
        _text(x + _GPU // 2, y + 28, f"t{tensor}", size=10, anchor="middle", colour="#ffffff"),
    ]


def _ranks_by_node(placement: Placement) -> dict[str, list[tuple[int, int, int]]]:
    """Node -> (replica, pipeline stage, tensor rank) of each GPU that is taken there, in rank order."""
    layout = placement.layout
    ranks: dict[str, list[tuple[int, int, int]]] = {name: [] for nodes in placement.replica_nodes for name in nodes}
    for replica, nodes in enumerate(placement.replica_nodes):
        for number in range(layout.gpus_per_replica):
            name = nodes[number // layout.gpus_per_pod]
            stage = number // layout.tensor % layout.pipeline
            ranks[name].append((replica, stage, number % layout.tensor))
    return ranks


def _text(  # SVG's own attributes
    x: int, y: int, text: str, *, size: int, bold: bool = False, anchor: str = "start", colour: str = "#222222"
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x}" y="{y}" font-size="{size}"{weight} text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
    )
