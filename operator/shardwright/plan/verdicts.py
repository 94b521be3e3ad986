"""All that is known of every cut on one kind of pool, free GPUs apart: refusals, memory, speed. Computed once and kept.

Pools that differ only in names, nodes and free GPUs share their verdicts, so a plan for thousands of nodes costs what
the distinct kinds cost. Knows no node.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

from shardwright.api.reasons import Reason
from shardwright.api.spec import CrossIslands
from shardwright.catalog.types import GpuProduct, NetworkKind
from shardwright.inventory import Pool
from shardwright.inventory.host import NOTHING_KNOWN
from shardwright.plan.checks import Context, refusals
from shardwright.plan.cost import BatchLimits, Paths, cost, paths_of
from shardwright.plan.enumerate import layouts
from shardwright.plan.memory import EngineArguments, forecast
from shardwright.plan.memory_versions import version_facts
from shardwright.plan.types import Cost, Layout, MemoryForecast, PlanRequest, Rejection, Verdict, in_one_pod

MOST_TIMES_THE_FEWEST = 4
"""How many times the GPUs that just hold a model a replica over several pods may take."""
CONTEXT_REASONS = frozenset({Reason.KV_CACHE_TOO_SMALL, Reason.CONTEXT_TOO_LONG})
"""Refusals that a shorter context may lift."""
_SLICES = "GPU slices in a replica"
_CONTEXT_STEP = 1024
"""A shortened context is rounded down to a multiple of this: a number that people can remember."""


def kind_of(pool: Pool) -> Pool:
    """The pool without its identity: what verdicts depend on."""
    return replace(pool, name="", nodes=(), selector=(), host=NOTHING_KNOWN, assumptions=(), claim=None, expected="")


def question_of(request: PlanRequest) -> PlanRequest:
    """The request without what only placing depends on, so that it can be compared and kept."""
    return replace(
        request, max_replicas=None, max_gpus=None, fill_free_gpus=False, node_selector=(), tolerations=(),
        gpu_products=(), gpu_prices_micro=(), allow_mixed_products=False, quotas=(),
        cross_islands=CrossIslands.FREELY,
    )  # fmt: skip


@lru_cache(maxsize=1024)
def verdicts(question: PlanRequest, kind: Pool, most_pods: int, shorten: bool) -> tuple[Verdict, ...]:
    """Judge every cut of one pod, and of up to `most_pods` pods up to four times the fewest GPUs that hold the model.

    Beyond that KV cache is plentiful, and a replica is several replicas that wait for each other. `shorten`: where the
    whole context does not fit, take the longest that does (only if the user named none).
    """
    mixture, pins = question.model.is_mixture_of_experts, question.pins
    found: list[Verdict] = []
    answers, fewest = _answers(question, kind.product, kind.memory_bytes), 0
    for layout in layouts(kind.gpus_per_node, most_pods, pins, mixture_of_experts=mixture):
        several = layout.nodes_per_replica > 1 and pins.nodes_per_replica is None
        if several and 0 < fewest * MOST_TIMES_THE_FEWEST < layout.gpus_per_replica:
            break
        verdict = answers.verdict(kind, layout, shorten)
        if not verdict.rejections:
            fewest = min(fewest or layout.gpus_per_replica, layout.gpus_per_replica)
        found.append(verdict)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Fit:
    """A cut that fits in memory, with the figures that placing and ranking ask for again in every plan."""

    layout: Layout
    memory: MemoryForecast
    cost: Cost
    crosses_island: bool
    room_key: tuple[int, int]
    """(pods, GPUs per pod): all that room depends on."""
    gpus: int
    """Of one replica."""
    milli_tokens_per_gpu: int
    """Thousandths of tokens a second per GPU; GPUs that pods of this size leave over on a full node count as used.

    Pods of 3 on nodes of 8 strand two GPUs for every six: nobody else can use a remainder well.
    """
    tie: tuple[int, ...]
    """Orders cuts that are equal in all else; different for different cuts."""
    text: str


@lru_cache(maxsize=1024)
def fits(question: PlanRequest, kind: Pool, most_pods: int, shorten: bool) -> tuple[Fit, ...]:
    """Those of `verdicts` that refuse nothing."""
    return tuple(
        fit_of(kind, verdict, verdict.memory, verdict.cost)
        for verdict in verdicts(question, kind, most_pods, shorten)
        if not verdict.rejections and verdict.memory and verdict.cost
    )


def fit_of(kind: Pool, verdict: Verdict, memory: MemoryForecast, speed: Cost) -> Fit:
    """The figures of a verdict that refuses nothing."""
    cut = verdict.layout
    gpus, pods, per_pod, node = cut.gpus_per_replica, cut.nodes_per_replica, cut.gpus_per_pod, kind.gpus_per_node
    per_gpu = speed.milli_tokens_per_second * (node // per_pod * per_pod) // (gpus * node)
    tie = (gpus, pods, cut.pipeline, cut.data, int(cut.expert), cut.tensor)
    return Fit(cut, memory, speed, verdict.crosses_island, (pods, per_pod), gpus, per_gpu, tie, cut.text)


def verdict_on(question: PlanRequest, kind: Pool, layout: Layout, shorten: bool) -> Verdict:
    """Judge one cut: first what can never be, then memory, then speed, each only where the one before lets it pass."""
    return _answers(question, kind.product, kind.memory_bytes).verdict(kind, layout, shorten)


class _Answers:
    """What is known of the cuts of one question on GPUs of one kind, kept by what each answer really depends on.

    Thousands of cuts on dozens of pools share a few hundred forecasts and rooflines. Must never hold a pool.
    """

    def __init__(self, question: PlanRequest, product: GpuProduct, memory_bytes: int) -> None:
        self.question, self.product, self.memory_bytes = question, product, memory_bytes
        engine, version, options = question.engine, question.engine_version, question.engine_args
        self.context = Context(question.model, product, engine, options, version)
        self.limits = _batch_limits(question, product, memory_bytes)
        self.refused: dict[Layout, tuple[Rejection, ...]] = {}
        self.forecasts: dict[tuple[Layout, int], MemoryForecast] = {}
        self.costs: dict[tuple[Layout, int, Paths], Cost] = {}

    def verdict(self, kind: Pool, layout: Layout, shorten: bool) -> Verdict:
        """Judge one cut on pools of this kind."""
        crosses, cut = crosses_island(layout, kind), in_one_pod(layout)
        refused = self.refusals(cut)
        gpus = layout.gpus_per_replica
        if gpus > 1 and not kind.multi_gpu:
            refused = (*refused, Rejection("", str(layout), Reason.SLICES_CANNOT_JOIN, gpus, 1, _SLICES))
        if refused:
            return Verdict(layout, refused, crosses_island=crosses)
        memory = self.fitting(cut, shorten)
        if not memory.fits:
            return Verdict(layout, memory_rejections(layout, memory), memory, crosses_island=crosses)
        return Verdict(layout, (), memory, self.cost(cut, memory, paths_of(kind, layout)), crosses)

    def refusals(self, cut: Layout) -> tuple[Rejection, ...]:
        """What can never be."""
        known = self.refused.get(cut)
        if known is None:
            known = self.refused[cut] = refusals(cut, self.context)
        return known

    def fitting(self, cut: Layout, shorten: bool) -> MemoryForecast:
        """Forecast at the asked context, else at the model's own, else (if allowed) at the longest that fits."""
        asked = self.question.context_length or self.question.model.max_context_length
        memory = self.forecast(cut, asked)
        if memory.fits or not shorten or self.question.context_length:
            return memory
        longest = self.longest_context(cut, asked)
        return self.forecast(cut, longest) if longest else memory

    def longest_context(self, cut: Layout, most: int) -> int:
        """Longest context up to `most` that fits, in steps of 1024 tokens; 0 where not even one step does."""
        low, high = 0, most // _CONTEXT_STEP
        while low < high:
            middle = (low + high + 1) // 2
            if self.forecast(cut, middle * _CONTEXT_STEP).fits:
                low = middle
            else:
                high = middle - 1
        return low * _CONTEXT_STEP

    def forecast(self, cut: Layout, context: int) -> MemoryForecast:
        """Forecast one cut at one context length."""
        known = self.forecasts.get((cut, context))
        if known is None:
            question = self.question
            known = forecast(
                question.model, cut, self.product, self.memory_bytes, question.engine, question.engine_version,
                arguments_of(question, context),
            )  # fmt: skip
            self.forecasts[cut, context] = known
        return known

    def cost(self, cut: Layout, memory: MemoryForecast, paths: Paths) -> Cost:
        """Price one cut on these links."""
        key = (cut, memory.context_length, paths)
        known = self.costs.get(key)
        if known is None:
            known = self.costs[key] = cost(self.question, self.product, cut, memory, paths, self.limits)
        return known


@lru_cache(maxsize=256)
def _answers(question: PlanRequest, product: GpuProduct, memory_bytes: int) -> _Answers:
    return _Answers(question, product, memory_bytes)


def _batch_limits(question: PlanRequest, product: GpuProduct, memory_bytes: int) -> BatchLimits:
    """The engine's limits: as the user set them, else its defaults on such a GPU."""
    facts = version_facts(question.engine, question.engine_version)
    tokens, sequences = facts.batch_limits(memory_bytes, product.name)
    asked = EngineArguments.from_options(question.engine_args)
    return BatchLimits(asked.max_num_seqs or sequences, asked.max_num_batched_tokens or tokens)


def longest_context(question: PlanRequest, kind: Pool, layout: Layout, most: int) -> int:
    """Longest context up to `most` that fits, in steps of 1024 tokens; 0 where not even one step does."""
    return _answers(question, kind.product, kind.memory_bytes).longest_context(in_one_pod(layout), most)


def forecast_of(question: PlanRequest, kind: Pool, layout: Layout, context: int) -> MemoryForecast:
    """Forecast one cut at one context length; the number of pods changes nothing, so it is left out of the memory."""
    return _answers(question, kind.product, kind.memory_bytes).forecast(in_one_pod(layout), context)


@lru_cache(maxsize=256)
def arguments_of(question: PlanRequest, context: int) -> EngineArguments:
    """The user's engine options with the context length set."""
    options = {**dict(question.engine_args), "max-model-len": str(context)}
    return EngineArguments.from_options(tuple(sorted(options.items())))


def crosses_island(layout: Layout, kind: Pool) -> bool:
    """Whether a tensor group would reach beyond one island; groups of one pod must all find room in islands."""
    if layout.tensor == 1:
        return False
    if layout.tensor > layout.gpus_per_pod:
        return kind.network is not NetworkKind.NVLINK
    islands = kind.islands or (tuple(range(kind.gpus_per_node)),)
    groups = layout.gpus_per_pod // layout.tensor
    return sum(len(island) // layout.tensor for island in islands) < groups


def memory_rejections(layout: Layout, memory: MemoryForecast) -> tuple[Rejection, ...]:
    """The forecast's refusals with the figures that show them."""
    return tuple(_memory_rejection(layout, memory, reason) for reason in memory.reasons or (Reason.WEIGHTS_DO_NOT_FIT,))


def _memory_rejection(layout: Layout, memory: MemoryForecast, reason: Reason) -> Rejection:
    if reason in CONTEXT_REASONS:
        have = min(memory.kv_cache_tokens, memory.context_length - 1)
        return Rejection("", str(layout), reason, memory.context_length, have, "tokens of KV cache")
    if reason is Reason.WEIGHTS_DO_NOT_FIT:
        used = (r.weights_bytes + r.activation_bytes + r.non_torch_bytes + r.cuda_graph_bytes for r in memory.ranks)
        return Rejection("", str(layout), reason, max(used, default=0), memory.requested_bytes, "bytes")
    return Rejection("", str(layout), reason, 1, 0, "")
