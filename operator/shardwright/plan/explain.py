"""The only place of planning that writes sentences: what was chosen and why, what lost, and what would help.

Takes decisions as values and never changes one. Everyone who shows a plan (status, events, the command line, pictures)
takes the words from here.
"""

from collections.abc import Sequence

from shardwright.api.reasons import Reason
from shardwright.api.spec import EngineName
from shardwright.plan import whatif
from shardwright.plan.balancing import Balancing, balancing, ranks_per_pod
from shardwright.plan.rank import Option
from shardwright.plan.site import Site
from shardwright.plan.surroundings import surroundings
from shardwright.plan.types import MemoryForecast, Placement, Plan, PlanRequest, QuotaRoom, Rejection

_GIB = 1 << 30
COMPUTE = "compute capability"
"""Units that begin so are in tenths."""


def gib(size: int) -> str:
    """`61.4 GiB`, rounded down to tenths."""
    tenths = abs(size) * 10 // _GIB
    return f"{'-' if size < 0 else ''}{tenths // 10}.{tenths % 10} GiB"


def tokens(count: int) -> str:
    """`32k` where it is a whole number of 1024s below a million, else with separators."""
    return f"{count // 1024}k" if count % 1024 == 0 and 0 < count < 1 << 20 else f"{count:,}"


def why(plan: Plan, request: PlanRequest) -> str:
    """One line for the user: the layout and what it holds, or what is missing."""
    if not plan.placements:
        return _why_not(plan, request)
    shown = [p for index, p in enumerate(plan.placements) if not index or p.replicas or not p.expected]
    return "; ".join((*map(_placement, shown), *_balanced(plan, request.engine), *awaited(plan.placements)))


def _balanced(plan: Plan, engine: EngineName) -> tuple[str, ...]:
    """Say who spreads requests over the data-parallel ranks of a replica, where there are any."""
    layouts = tuple(placement.layout for placement in plan.placements)
    found = []
    for layout in layouts:
        own, pods = ranks_per_pod(layout), layout.nodes_per_replica
        match balancing(engine, layout, layouts):
            case Balancing.HYBRID:
                found.append(f"each of {pods} pods balances its own {own} data-parallel ranks (hybrid balancing)")
            case Balancing.INTERNAL:
                found.append(f"one pod's API balances all {layout.data} data-parallel ranks (internal balancing)")
    return tuple(dict.fromkeys(found))


def awaited(placements: Sequence[Placement]) -> tuple[str, ...]:
    """Say of each pool how many of its nodes an autoscaler must add before the plan can run whole."""
    counts = [(len(placement.awaited_nodes), placement.expected) for placement in placements]
    return tuple(
        f"{count} node{'s' if count > 1 else ''} of pool {name} {'do' if count > 1 else 'does'} not exist yet; an "
        "autoscaler must add " + ("them" if count > 1 else "it")
        for count, name in counts
        if count
    )


def _placement(placement: Placement) -> str:
    memory = placement.memory
    used = max((_used(memory, index) for index in range(len(memory.ranks))), default=0)
    holds = f"holds {_requests(memory.max_concurrency)} at {tokens(memory.context_length)}"
    replicas = placement.replicas
    each = " each" if replicas > 1 else ""
    where = f"{replicas} × {placement.layout.text} on {placement.product}"
    return f"{where}: {gib(used)} of {gib(memory.total_bytes)} used before KV cache, {holds}{each}"


def better_by(running: Plan, best: Plan, have: int, could: int, unit: str) -> str:
    """Name the better plan and the figure that makes it so."""
    return f"{_layouts(best)} would give {could:,} {unit} instead of the {have:,} of {_layouts(running)}"


def instead_of_broken(best: Plan, lost: Rejection) -> str:
    """What could run instead of a layout that is no longer valid."""
    return f"{_layouts(best)} would do; what runs is no longer possible: {rejection(lost)}"


def _layouts(plan: Plan) -> str:
    return ", ".join(f"{p.replicas} × {p.layout.text} on {p.product}" for p in plan.placements)


def _used(memory: MemoryForecast, index: int) -> int:
    rank = memory.ranks[index]
    return rank.weights_bytes + rank.activation_bytes + rank.non_torch_bytes + rank.cuda_graph_bytes


def _requests(count: int) -> str:
    return f"{count} request" if count == 1 else f"{count:,} requests"


def _why_not(plan: Plan, request: PlanRequest) -> str:
    if plan.reason is Reason.QUOTA_EXCEEDED:
        names = ", ".join(sorted({room.quota for room in request.quotas}))
        return f"{request.model.id} fits free GPUs, but ResourceQuota {names} does not leave it enough"
    if plan.reason is Reason.WAITING_FOR_GPUS:
        return f"{request.model.id} fits these GPUs, but not enough of them are free"
    if not plan.rejected:
        return "no pool of GPU nodes was found, and none is expected (expectedPools of the chart declares such)"
    return f"no layout of {request.model.id} fits; closest: {rejection(plan.rejected[0])}"


def rejection(lost: Rejection) -> str:
    """One losing layout: `TP2·PP1 on l40s-4: WeightsDoNotFit, needs 65.5 GiB, has 44.3 GiB`."""
    return f"{lost.layout} on {lost.pool}: {lost.reason}, {need_and_have(lost)}"


def need_and_have(lost: Rejection) -> str:
    """The two figures in their unit."""
    if lost.unit == "bytes":
        return f"needs {gib(lost.need)}, has {gib(lost.have)}"
    if lost.unit.startswith(COMPUTE):
        return f"needs {lost.need // 10}.{lost.need % 10}, has {lost.have // 10}.{lost.have % 10} {lost.unit}"
    if lost.reason is Reason.PRODUCT_NOT_WANTED:
        return f"spec.placement.gpuProducts asks for {lost.unit}"
    if lost.reason is Reason.SLOWER:
        return f"{lost.have:,} against {lost.need:,} {lost.unit}"
    return f"needs {lost.need:,}, has {lost.have:,} {lost.unit}"


def nearest(request: PlanRequest, sites: Sequence[Site]) -> str:
    """What would make it fit: more GPUs, a shorter context or smaller weights; empty where nothing small would."""
    found = whatif.nearest(request, sites)
    parts: list[str] = []
    if found.quota:
        parts.append(_quota(found.quota))
    if found.gpus and found.gpus.missing:
        state = "free " if found.gpus.exist else ""
        where = f"for {found.gpus.layout.text} in pool {found.gpus.pool}"
        parts.append(f"{found.gpus.missing} more {state}{found.gpus.product} ({where})")
    if found.context:
        parts.append(f"context ≤ {found.context:,}")
    if found.fp8:
        parts.append("FP8 weights")
    if found.half:
        parts.append('spec.engine.args {dtype: "half"}, because these GPUs have no bfloat16')
    if parts:
        return f"needs {', or '.join(parts)}"
    refused = [r for site in sites for r in site.refused]
    return f"every pool is out: {'; '.join(rejection(r) for r in refused[:3])}" if refused else ""


def _quota(more: whatif.MoreQuota) -> str:
    """What to ask for, and of whom."""
    room = more.quota
    said = f"a replica takes {more.need}, it leaves {max(0, room.left)}"
    return f"{more.missing} more {quota_key(room)} in ResourceQuota {room.quota} ({said})"


def quota_key(room: QuotaRoom) -> str:
    """The key in `spec.hard`."""
    return room.resource if room.resource == "pods" else f"requests.{room.resource}"


def assumptions(option: Option) -> tuple[str, ...]:
    """What the chosen layout takes for granted about where its pods land."""
    found = []
    pool, layout = option.pool, option.fit.layout
    whole_node = layout.gpus_per_pod == pool.gpus_per_node
    exactly = pool.claim is not None and bool(pool.claim.same)
    if layout.tensor > 1 and len(pool.islands) > 1 and not (whole_node or exactly or option.fit.crosses_island):
        found.append(
            f"the device plugin gives a pod that asks for {layout.gpus_per_pod} GPUs well-linked ones: "
            "Kubernetes lets a pod ask for a number, not for an island"
        )
    if option.fit.crosses_island:
        found.append(_crossing(option))
    if layout.nodes_per_replica > 1 and not any(node.fabric_domain for node in option.nodes):
        found.append("nodes of this pool reach each other over one network: none names its fabric domain")
    return (*found, *surroundings(layout, pool.host))


def _crossing(option: Option) -> str:
    """What it costs that a tensor group reaches beyond one island."""
    pool, layout = option.pool, option.fit.layout
    between = pool.network_bandwidth if layout.tensor > layout.gpus_per_pod else pool.cross_island_bandwidth
    inside = f"{pool.link_bandwidth // 10**9} GB/s" if pool.link_bandwidth else "nothing"
    slow = f"{between // 10**9} GB/s instead of {inside}"
    return f"TP{layout.tensor} crosses groups of well-linked GPUs: every layer's collectives run at {slow}"
