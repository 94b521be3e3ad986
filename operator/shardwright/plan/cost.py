"""How fast a cut would be on a pool: a roofline of prefill and decode, and collectives on the links it really crosses.

Good for comparing layouts with each other, not for promising a figure to a user. Integers throughout (nanoseconds
inside, microseconds outside), so that every machine ranks alike. It never knows which nodes are free, nor what wins.

One decode step of one pipeline stage takes, on each GPU,
    max(weight bytes / memory bandwidth, operations / rate)    separately for experts and for the rest
    + KV bytes of the batch / memory bandwidth + collectives + a fixed overhead per layer.
With P stages a batch is served as P micro-batches in turn, so a token of each request takes P such steps: pipelines
give memory and throughput, never latency. Prefill is the same with many tokens at once; prompts interleave with
decoding, which is why the time per token of a busy replica contains its share of prefill.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import isqrt
from typing import NamedTuple

from shardwright.api.spec import Priority
from shardwright.catalog.load import gpu_catalog
from shardwright.catalog.types import GpuProduct, LinkKind
from shardwright.inventory import Pool
from shardwright.plan.types import Cost, Layout, MemoryForecast, PlanRequest
from shardwright.plan.work import work_of

_GIGA = 1_000_000_000
MEMORY_PERCENT = 80
"""Of peak memory bandwidth that streaming kernels reach."""
COMPUTE_PERCENT = 70
"""Of dense peak that large matrix products reach in serving."""
LINK_PERCENT = 75
"""Of a link's bandwidth that collectives reach."""
LAYER_OVERHEAD_NS = 20_000
"""Launch gaps, norms, rotary and sampling-free small kernels of one layer inside a CUDA graph."""
STEP_OVERHEAD_NS = 500_000
"""Scheduling, input preparation and sampling of one step."""
STAGE_OVERHEAD_NS = 100_000
"""Handing a micro-batch from one pipeline stage to the next, apart from the bytes."""
EXPERT_IMBALANCE_PERCENT = 125
"""Busiest rank's share of routed work over the mean, where whole experts are spread."""
ACTIVATION_BYTES = 2
_FIXED = 1 << 20
"""One, in the fixed point of `_touched`."""


class Line(NamedTuple):
    """A time that grows evenly with a number of tokens: `start + tokens * slope`, slope in picoseconds."""

    start_ns: int
    slope_ps: int

    def at(self, tokens: int) -> int:
        """Nanoseconds for so many tokens."""
        return self.start_ns + tokens * self.slope_ps // 1000


class Path(NamedTuple):
    """A link as a group of ranks sees it."""

    bandwidth: int
    """Bytes a second per GPU, one direction."""
    latency_ns: int

    def all_reduce(self, token_bytes: int, ranks: int) -> Line:
        """Ring all-reduce: 2(n-1)/n of the bytes cross each link."""
        return self._moved(2 * token_bytes * (ranks - 1) * _GIGA * 1000 // ranks, ranks)

    def gather(self, token_bytes: int, ranks: int) -> Line:
        """All-gather or reduce-scatter: (n-1)/n of all bytes cross each link."""
        return self._moved(token_bytes * (ranks - 1) * _GIGA * 1000 // ranks, ranks)

    def send(self, token_bytes: int) -> Line:
        """One message to one peer."""
        return self._moved(token_bytes * _GIGA * 1000, 2)

    def _moved(self, bytes_in_pico: int, ranks: int) -> Line:
        if ranks <= 1:
            return Line(0, 0)
        steps = max(1, (ranks - 1).bit_length())
        return Line(self.latency_ns * steps, bytes_in_pico * 100 // (self.bandwidth * LINK_PERCENT))


def path_of(pool: Pool, layout: Layout, ranks: int) -> Path:
    """The slowest link inside a group of `ranks` contiguous ranks."""
    catalog = gpu_catalog()
    if ranks > layout.gpus_per_pod:
        latency = catalog.network_latency_us[pool.network]
        return Path(max(1, pool.network_bandwidth), latency * 1000)
    island = island_size(pool)
    if ranks > island:
        latency = max(catalog.link_latency_us[LinkKind.PCIE], catalog.link_latency_us[pool.link])
        return Path(
            max(1, min(pool.cross_island_bandwidth or pool.link_bandwidth, pool.link_bandwidth)), latency * 1000
        )
    bandwidth = pool.link_bandwidth
    if pool.link in (LinkKind.XGMI, LinkKind.NVLINK_MESH) and 1 < ranks < island:
        bandwidth = bandwidth * (ranks - 1) // (island - 1)
    return Path(max(1, bandwidth), catalog.link_latency_us[pool.link] * 1000)


def island_size(pool: Pool) -> int:
    """GPUs of the largest island of one node."""
    return max((len(island) for island in pool.islands), default=pool.gpus_per_node)


class Roofline:
    """The times of one cut on one kind of pool; holds what does not change with the batch."""

    def __init__(
        self, request: PlanRequest, product: GpuProduct, layout: Layout, memory: MemoryForecast, paths: "Paths"
    ) -> None:
        work = work_of(request.model)
        self.layout, self.work = layout, work
        self.bandwidth = max(1, product.memory_bandwidth) * MEMORY_PERCENT // 100
        self.rate = max(1, _rate(product, work.bits)) * COMPUTE_PERCENT // 100
        self.ranks = layout.tensor * layout.data
        stages = layout.pipeline
        self.stage_layers = -(-work.layers // stages)
        shared_bytes = (work.divided_bytes // layout.tensor + work.whole_bytes) // stages
        shared_parameters = (work.divided_parameters // layout.tensor + work.whole_parameters) // stages
        self.shared_read_ns = shared_bytes * _GIGA // self.bandwidth
        self.shared_token_ps = 2 * shared_parameters * _GIGA * 1000 // self.rate
        self.expert_bytes = work.expert_bytes // (stages * self.ranks)
        self.expert_token_ps = self._expert_token_ps(work.expert_parameters // (stages * self.ranks))
        self.cached_token_ps = _kv_bytes_per_token(memory) * _GIGA * 1000 // self.bandwidth
        pairs_rate = max(1, _rate(product, 16)) * COMPUTE_PERCENT // 100
        attention_layers = work.attention_layers // stages or 1
        self.pair_ps = 4 * work.attention_width * attention_layers * _GIGA * 1000 // (layout.tensor * pairs_rate)
        self.collectives = self._collectives(paths)
        self.hand_over = self._hand_over(paths)
        self.moved_ns = self.collectives.start_ns + self.hand_over.start_ns

    def stage_ns(self, tokens: int, cached_tokens: int, attended_pairs: int) -> int:
        """Time of one stage for `tokens` new tokens a data rank, reading the KV of `cached_tokens`.

        `attended_pairs` is (query, key) pairs per layer that are computed rather than read, as in prefill.
        """
        shared = max(self.shared_read_ns, tokens * self.shared_token_ps // 1000)
        attention = (cached_tokens * self.cached_token_ps + attended_pairs * self.pair_ps) // 1000
        return shared + self._experts_ns(tokens) + attention + self.collectives.at(tokens)

    def decode_ns(self, batch: int, context: int) -> int:
        """One token for each of `batch` requests of the replica, `context` tokens long each.

        The same as `stage_ns` without computed pairs, written out: no other line of a plan runs as often.
        """
        per_rank = -(-batch // self.layout.data)
        micro = -(-per_rank // self.layout.pipeline)
        shared = max(self.shared_read_ns, micro * self.shared_token_ps // 1000)
        attention = micro * context * self.cached_token_ps // 1000
        moved = self.moved_ns + micro * self.collectives.slope_ps // 1000 + micro * self.hand_over.slope_ps // 1000
        experts = self._experts_ns(micro) if self.expert_bytes else 0
        return STEP_OVERHEAD_NS + self.layout.pipeline * (shared + experts + attention + moved)

    def prefill_ns(self, prompt: int, chunk: int) -> tuple[int, int]:
        """(time that one prompt occupies a data rank when prompts keep coming, time to the first token when idle)."""
        tokens = max(prompt, min(chunk, prompt * max(1, chunk // prompt)))
        busy = (self.stage_ns(tokens, 0, tokens * prompt // 2) + self.hand_over.at(tokens)) * prompt // tokens
        alone = self.stage_ns(prompt, 0, prompt * prompt // 2) + self.hand_over.at(prompt)
        return busy, STEP_OVERHEAD_NS + alone * self.layout.pipeline

    def _expert_token_ps(self, parameters: int) -> int:
        """Computing one token of the whole tensor x data group in this rank's share of the routed experts."""
        work = self.work
        if not work.expert_bytes:
            return 0
        active = 2 * parameters * work.experts_per_token * self.layout.data // max(1, work.experts)
        if self.layout.expert:
            active = active * EXPERT_IMBALANCE_PERCENT // 100
        elif work.expert_width:
            active = active * 100 // _slice_percent(work.expert_width // self.ranks)
        return active * _GIGA * 1000 // self.rate

    def _experts_ns(self, tokens: int) -> int:
        """Routed experts: the group of tensor x data ranks meets all its tokens there."""
        if not self.expert_bytes:
            return 0
        touched = _touched(self.work.experts or 1, self.work.experts_per_token, tokens * self.layout.data)
        read = self.expert_bytes * touched // _FIXED
        return max(read * _GIGA // self.bandwidth, tokens * self.expert_token_ps // 1000)

    def _collectives(self, paths: "Paths") -> Line:
        """Overhead of the stage's layers and two all-reduces in each.

        With data ranks, the expert layers gather and scatter everybody's tokens instead of the second all-reduce.
        """
        layout, layers, token = self.layout, self.stage_layers, self.work.hidden * ACTIVATION_BYTES
        reduce = paths.tensor.all_reduce(token, layout.tensor)
        reduces, gathers, both = 2 * layers, 0, Line(0, 0)
        if layout.data > 1:
            gathers = -(-self.work.expert_layers // layout.pipeline)
            reduces -= gathers
            both = paths.group.gather(token * layout.data, self.ranks)
        return Line(
            LAYER_OVERHEAD_NS * layers + reduces * reduce.start_ns + 2 * gathers * both.start_ns,
            reduces * reduce.slope_ps + 2 * gathers * both.slope_ps,
        )

    def _hand_over(self, paths: "Paths") -> Line:
        """Passing a micro-batch to the next stage."""
        layout = self.layout
        if layout.pipeline == 1:
            return Line(0, 0)
        sent = paths.stages.send(self.work.hidden * ACTIVATION_BYTES // layout.tensor)
        return Line(STAGE_OVERHEAD_NS + sent.start_ns, sent.slope_ps)


class Paths(NamedTuple):
    """All that a cost depends on of the pool besides its GPU: the links that the cut's groups cross."""

    tensor: Path
    group: Path
    """Of the tensor x data group."""
    stages: Path
    """From one pipeline stage to the next."""


def paths_of(pool: Pool, layout: Layout) -> Paths:
    """The links of each kind of group; where a cut has no such group, the tensor group's, which nothing reads then."""
    tensor = path_of(pool, layout, layout.tensor)
    group = path_of(pool, layout, layout.tensor * layout.data) if layout.data > 1 else tensor
    if layout.pipeline == 1:
        return Paths(tensor, group, tensor)
    return Paths(tensor, group, path_of(pool, layout, min(layout.tensor * 2, layout.gpus_per_replica)))


def cost(
    request: PlanRequest,
    product: GpuProduct,
    layout: Layout,
    memory: MemoryForecast,
    paths: Paths,
    limits: "BatchLimits",
) -> Cost:
    """Predict a replica at the batch it would run: what it may hold, cut until the time per token meets the target."""
    line = Roofline(request, product, layout, memory, paths)
    prompt, output = request.typical_prompt_tokens, request.typical_output_tokens
    busy, first = line.prefill_ns(prompt, limits.batched_tokens)
    asked = asked_per_replica(request)
    most = max(1, min(limits.sequences * layout.data, memory.kv_cache_tokens // (prompt + output) * layout.data))
    if asked:
        most = min(most, asked)
    context = prompt + output // 2

    def token_ns(batch: int) -> int:
        return line.decode_ns(batch, context) + -(-batch // layout.data) * busy // output

    target = request.time_per_token_target_microseconds * 1000
    batch = min(most, asked or 1)
    if request.priority is not Priority.LATENCY:
        batch = _largest(most, layout.data, target, token_ns)
    time = token_ns(batch)
    return Cost(
        batch=batch,
        time_per_token_microseconds=time // 1000,
        decode_step_microseconds=line.decode_ns(min(most, asked or 1), context) // 1000,
        first_token_microseconds=first // 1000,
        milli_tokens_per_second=batch * 1000 * _GIGA // time,
        meets_target=time <= target,
    )


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The engine's own limits on one data rank."""

    sequences: int
    batched_tokens: int


def _largest(most: int, data: int, target: int, token_ns: Callable[[int], int]) -> int:
    """Largest batch within the target, at least 1; time per token grows with the share of the fullest data rank.

    Every other guess takes the growth as even, which it nearly is; halving between them bounds the steps.
    """
    above = token_ns(most)
    if above <= target:
        return most
    low, below, high, halve = 0, 0, -(-most // data), False
    while high - low > 1:
        line = low + (target - below) * (high - low) // (above - below)
        middle = (low + high) // 2 if halve else min(max(line, low + 1), high - 1)
        time = token_ns(middle * data)
        if time <= target:
            low, below = middle, time
        else:
            high, above = middle, time
        halve = not halve
    return max(1, low * data)


def asked_per_replica(request: PlanRequest) -> int:
    """Requests at once that one replica is asked to serve; 0 where nothing was asked."""
    return -(-request.concurrency // max(1, request.replicas or 1)) if request.concurrency else 0


def _kv_bytes_per_token(memory: MemoryForecast) -> int:
    """What one token of context costs on the fullest rank, from the forecast itself."""
    fullest = min((rank.kv_cache_bytes for rank in memory.ranks), default=0)
    return max(0, fullest) // max(1, memory.kv_cache_tokens)


def _rate(product: GpuProduct, bits: int) -> int:
    """Operations a second in the best format that the GPU computes for weights of so many bits."""
    half = product.bf16_flops or product.fp16_flops
    if bits <= 4 and product.fp4_flops:
        return product.fp4_flops
    return product.fp8_flops or half if bits == 8 else half


@lru_cache(maxsize=32768)
def _touched(experts: int, per_token: int, tokens: int) -> int:
    """Share of the experts that `tokens` tokens touch, 1 - (1 - k/E)^tokens, in fixed point."""
    missed, base, left = _FIXED, _FIXED - _FIXED * min(per_token, experts) // experts, tokens
    while left and missed:
        if left & 1:
            missed = missed * base // _FIXED
        base = base * base // _FIXED
        left >>= 1
    return _FIXED - missed


def _slice_percent(width: int) -> int:
    """Efficiency of a product whose inner slice is narrow: grows with the root of its width up to 256."""
    return max(10, min(100, isqrt(width * 10_000 // 256)))
