"""Islands from pairs: which GPUs of a node reach each other without crossing a slower link.

Per GPU the best of: a group in which every pair has NVLink (or xGMI), a group behind one PCIe switch, its NUMA node.
A GPU that is left alone while others have a better link stays alone. Knows no tool's spelling.
"""

from collections.abc import Iterable, Mapping

from shardwright.topology.types import Closeness, Islands, Reading, Tier, Topology, UnreadableTopologyError

_MUTE = frozenset({"", "N/A", "-1", "None"})
"""What a NUMA column says when it says nothing."""
_EXACT_GPUS = 32
"""Above this many GPUs, none of whose groups is complete, a good complete part does instead of the largest."""
_COMMON = frozenset({Closeness.SWITCH, Closeness.NEAR, Closeness.FAR})
"""What a pair that was cut off may be in any machine; it may be FAST only where others are."""
Pairs = Mapping[tuple[int, int], Closeness]


def draw_islands(reading: Reading) -> Topology:
    """Draw the islands; pairs that were not shown count only where no answer could depend on them.

    Raises UnreadableTopologyError where it could.
    """
    gpus = reading.gpus
    unknown = [(a, b) for a in gpus for b in gpus if a < b and (a, b) not in reading.pairs]
    guesses = sorted(_COMMON | set(reading.pairs.values())) if unknown and reading.pairs else [Closeness.FAR]
    answers = {_draw(reading, {**dict.fromkeys(unknown, guess), **reading.pairs}) for guess in guesses}
    if len(answers) > 1 or (unknown and not reading.pairs and any(numa == "" for numa in _numa_of(reading).values())):
        pairs = ", ".join(f"GPU{a}-GPU{b}" for a, b in unknown[:3])
        raise UnreadableTopologyError(f"the output is cut: it does not show {pairs}, and the islands depend on it")
    warnings = reading.warnings
    if unknown and reading.pairs:
        warnings = (*warnings, f"{len(unknown)} pairs are not shown; the islands do not depend on them")
    tier, islands = answers.pop()
    return Topology(len(gpus), tier, islands, warnings)


def draw_outer(reading: Reading, islands: Islands) -> Islands:
    """The coarser level: islands that reach each other inside one NUMA node. Empty where there is no level between."""
    inside = {(island[0], gpu) for island in islands for gpu in island[1:]}
    near = {pair for pair, how in reading.pairs.items() if how <= Closeness.NEAR}
    outer = _closure(reading.gpus, inside | near)
    return outer if 1 < len(outer) < len(islands) else ()


def _draw(reading: Reading, pairs: Pairs) -> tuple[Tier, Islands]:
    """Take the groups from the best link down."""
    linked = _complete_groups(reading.gpus, {pair for pair, how in pairs.items() if how is Closeness.FAST})
    islands = [group for group in linked if len(group) > 1]
    rest = set(reading.gpus) - {gpu for group in islands for gpu in group}
    switched = _closure(reading.gpus, {pair for pair, how in pairs.items() if how <= Closeness.SWITCH and how > 0})
    behind_switch = [kept for group in switched if len(kept := tuple(gpu for gpu in group if gpu in rest)) > 1]
    islands += behind_switch
    rest -= {gpu for group in behind_switch for gpu in group}
    if not islands:
        known = any(numa not in _MUTE for numa in reading.numa.values()) or len(reading.gpus) > 1
        return (Tier.NUMA if known else Tier.NONE), _numa_groups(reading, pairs)
    tier = reading.fast if any(len(group) > 1 for group in linked) else Tier.PCIE_SWITCH
    return tier, tuple(sorted([*islands, *((gpu,) for gpu in rest)]))


def _numa_of(reading: Reading) -> dict[int, str]:
    return {gpu: reading.numa.get(gpu, "") for gpu in reading.gpus}


def _numa_groups(reading: Reading, pairs: Pairs) -> Islands:
    """GPUs whose NUMA column is the same; where it says nothing, those that are linked inside a NUMA node."""
    said = {gpu: "" if numa in _MUTE else numa for gpu, numa in _numa_of(reading).items()}
    near = {pair for pair, how in pairs.items() if how <= Closeness.NEAR and not said[pair[0]] and not said[pair[1]]}
    same = {(a, b) for a in said for b in said if a < b and said[a] and said[a] == said[b]}
    return _closure(reading.gpus, (near | same) - reading.apart)


def _closure(gpus: Iterable[int], pairs: Iterable[tuple[int, int]]) -> Islands:
    """Connected groups, sorted, single GPUs included."""
    group = {gpu: {gpu} for gpu in gpus}
    for a, b in sorted(pairs):
        if group[a] is not group[b]:
            group[a] |= group[b]
            for member in group[b]:
                group[member] = group[a]
    return tuple(sorted({tuple(sorted(members)) for members in group.values()}))


def _complete_groups(gpus: Iterable[int], pairs: set[tuple[int, int]]) -> Islands:
    """Groups in which every pair is linked: of a connected group that is not complete, its largest complete part first.

    Tensor-parallel kernels want every pair direct, so the cube mesh of eight V100 is two islands of four.
    """
    groups: list[tuple[int, ...]] = []
    for connected in _closure(gpus, pairs):
        left = set(connected)
        while left:
            neighbours = {gpu: {b for b in left if (min(gpu, b), max(gpu, b)) in pairs and b != gpu} for gpu in left}
            best = _largest_clique(left, neighbours)
            groups.append(best)
            left -= set(best)
    return tuple(sorted(groups))


def _largest_clique(left: set[int], neighbours: Mapping[int, set[int]]) -> tuple[int, ...]:
    """The largest complete group; of equally large ones the one with the smallest indexes."""
    if all(len(neighbours[gpu]) == len(left) - 1 for gpu in left):
        return tuple(sorted(left))
    if len(left) > _EXACT_GPUS:
        return _greedy_clique(left, neighbours)
    best: tuple[int, ...] = ()
    stack: list[tuple[tuple[int, ...], list[int]]] = [((), sorted(left))]
    while stack:
        clique, candidates = stack.pop()
        if len(clique) + len(candidates) <= len(best) and (len(clique), candidates) != (len(best), []):
            continue
        if len(clique) > len(best) or (len(clique) == len(best) and clique < best):
            best = clique
        stack.extend(
            ((*clique, gpu), [b for b in candidates[at + 1 :] if b in neighbours[gpu]])
            for at, gpu in reversed(list(enumerate(candidates)))
        )
    return best


def _greedy_clique(left: set[int], neighbours: Mapping[int, set[int]]) -> tuple[int, ...]:
    """A complete group around the GPU with the most links."""
    clique: list[int] = []
    for gpu in sorted(left, key=lambda one: (-len(neighbours[one]), one)):
        if all(member in neighbours[gpu] for member in clique):
            clique.append(gpu)
    return tuple(sorted(clique))
