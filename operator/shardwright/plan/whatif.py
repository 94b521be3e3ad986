"""When nothing fits: the smallest change that would help. Answers in numbers; `explain` makes the sentence.

Asks the same verdicts as the plan, with more nodes, a shorter context or smaller weights than there are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from shardwright.models.formats import FP8
from shardwright.models.profile import LayerShape, Matrix, ModelProfile
from shardwright.plan.enumerate import MOST_PODS_PER_REPLICA
from shardwright.plan.site import Site
from shardwright.plan.types import Layout, PlanRequest, QuotaRoom
from shardwright.plan.verdicts import CONTEXT_REASONS, longest_context, question_of, verdicts


@dataclass(frozen=True, slots=True)
class MoreGpus:
    """So many GPUs would have to be free on one kind of pool."""

    pool: str
    product: str
    layout: Layout
    missing: int
    exist: bool
    """The pool has them; others hold them."""


@dataclass(frozen=True, slots=True)
class MoreQuota:
    """A ResourceQuota would have to allow so many more; the GPUs themselves are free."""

    quota: QuotaRoom
    need: int
    layout: Layout

    @property
    def missing(self) -> int:
        """How many more."""
        return self.need - self.quota.left


@dataclass(frozen=True, slots=True)
class Nearest:
    """What would help, each part None where it would not."""

    gpus: MoreGpus | None = None
    context: int | None = None
    fp8: bool = False
    quota: "MoreQuota | None" = None
    half: bool = False
    """16-bit floats of the older kind."""


def nearest(request: PlanRequest, sites: Sequence[Site]) -> Nearest:
    """Find the smallest changes, each by itself."""
    usable = [site for site in sites if not site.refused]
    more = min(_more_gpus(request, usable), key=lambda m: (m.missing, m.layout, m.pool), default=None)
    context = max(_contexts(request, usable), default=0)
    quota = min(_more_quota(request, usable), key=lambda m: (m.missing, m.layout, m.quota.resource), default=None)
    return Nearest(more, context or None, _fp8_helps(request, usable), quota, _half_helps(request, usable))


def _more_quota(request: PlanRequest, sites: Sequence[Site]) -> Iterator[MoreQuota]:
    question = question_of(request)
    for site in sites if request.quotas else ():
        for verdict in verdicts(question, site.kind, MOST_PODS_PER_REPLICA, False):
            if not verdict.rejections and site.room(verdict.layout):
                short = [(one, need) for one, need in site.quota_needs(request, verdict.layout) if need > one.left]
                yield from (MoreQuota(one, need, verdict.layout) for one, need in short)


def _more_gpus(request: PlanRequest, sites: Sequence[Site]) -> Iterator[MoreGpus]:
    question = question_of(request)
    for site in sites:
        for verdict in verdicts(question, site.kind, MOST_PODS_PER_REPLICA, False):
            layout = verdict.layout
            if verdict.rejections or (request.max_gpus or layout.gpus_per_replica) < layout.gpus_per_replica:
                continue
            missing = missing_gpus(site, layout)
            exist = sum(node.gpus // layout.gpus_per_pod > 0 for node in site.nodes) >= layout.nodes_per_replica
            yield MoreGpus(site.pool.name, site.pool.product.name, layout, missing, exist)


def missing_gpus(site: Site, layout: Layout) -> int:
    """GPUs that would have to become free, or be added in nodes, before one replica could be placed."""
    if site.room(layout):
        return 0
    gpus, pods = layout.gpus_per_pod, layout.nodes_per_replica
    best = gpus * pods
    for counts in site.free.values():
        free = sorted(counts.elements(), reverse=True)[:pods]
        best = min(best, gpus * pods - sum(min(have, gpus) for have in free))
    return best


def _contexts(request: PlanRequest, sites: Sequence[Site]) -> Iterator[int]:
    """Longest context of each cut that only the KV cache keeps out, and that the free GPUs hold."""
    question = question_of(request)
    asked = request.context_length or request.model.max_context_length
    for site in sites:
        for verdict in verdicts(question, site.kind, MOST_PODS_PER_REPLICA, False):
            reasons = {rejection.reason for rejection in verdict.rejections}
            if reasons and reasons <= CONTEXT_REASONS and site.room(verdict.layout):
                yield longest_context(question, site.kind, verdict.layout, asked)


def _fp8_helps(request: PlanRequest, sites: Sequence[Site]) -> bool:
    """Whether weights of eight bits would fit on what is free."""
    if request.model.weight_formats:
        return False
    return _fits(replace(question_of(request), model=in_fp8(request.model), quantization="fp8"), sites)


def _half_helps(request: PlanRequest, sites: Sequence[Site]) -> bool:
    """Whether GPUs without bfloat16 would do in float16."""
    if request.model.dtype != "bfloat16" or any(name == "dtype" for name, _ in request.engine_args):
        return False
    options = tuple(sorted((*request.engine_args, ("dtype", "half"))))
    return _fits(replace(question_of(request), engine_args=options), sites)


def _fits(question: PlanRequest, sites: Sequence[Site]) -> bool:
    """Whether any cut of another question fits on what is free."""
    return any(
        not verdict.rejections and site.room(verdict.layout)
        for site in sites
        for verdict in verdicts(question, site.kind, MOST_PODS_PER_REPLICA, False)
    )


def in_fp8(model: ModelProfile) -> ModelProfile:
    """Take the same model with every matrix that FP8 checkpoints quantise in eight bits."""
    layers = {
        layer: LayerShape(tuple(map(_in_fp8, layer.matrices)), layer.caches) for layer in dict.fromkeys(model.layers)
    }
    return replace(model, layers=tuple(layers[layer] for layer in model.layers), quantization="fp8")


def _in_fp8(matrix: Matrix) -> Matrix:
    return (
        replace(matrix, format=FP8) if matrix.quantizable and matrix.columns > 1 and matrix.format is None else matrix
    )
