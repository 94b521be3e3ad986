"""Which spec and plan are acted on: the live spec if it is accepted and finds a layout, else the last accepted one.

A running layout is kept while it is valid. It changes on a changed wish, on loss of what it needs, and for a better one
only where the user asked for that; else the better one is named.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from shardwright.api.problems import FieldProblem
from shardwright.api.spec import Replan
from shardwright.plan.better import better
from shardwright.plan.choose import choose
from shardwright.plan.types import Plan, PlanRequest
from shardwright.plan.validity import still_valid
from shardwright.reconcile import revision
from shardwright.reconcile.accept import Accepted, accept, read_kept, resolve
from shardwright.reconcile.facts import kept_facts
from shardwright.reconcile.live import LiveReplica
from shardwright.reconcile.placing import Seating, keep_seats, new_seats
from shardwright.reconcile.replicas import Wanted, choose_ids, wanted
from shardwright.reconcile.revision import Kept
from shardwright.reconcile.types import Gpus, ModelFacts, Observed
from shardwright.status import health
from shardwright.status.observed import ObservedReplica

NO_SEATS = Seating(())


@dataclass(frozen=True, slots=True)
class Course:
    """What a reconcile works towards."""

    accepted: Accepted | None
    """The live spec, if it is accepted."""
    problems: tuple[FieldProblem, ...]
    """Of the live spec."""
    active: Accepted | None = None
    """What is acted on; None = nothing was ever accepted with a plan."""
    plan: Plan | None = None
    shown_plan: Plan | None = None
    """A plan of the live spec that found no layout, to be told to the user."""
    seating: Seating = NO_SEATS
    wanted: int = 0
    derived_replicas: int | None = None
    write_replicas: int | None = None
    """To be written to `spec.replicas`."""
    to_keep: Kept | None = None
    """To be kept before anything is made from it."""
    kept_number: int = 0
    better: str | None = None
    """The better layout that is possible, in words; empty = none, None = nobody looked."""
    resting: Mapping[int, str] = field(default_factory=dict)
    """Replicas that get no nodes at present, and why."""


def settle(
    seen: Observed, live: Mapping[int, LiveReplica], gpus: Gpus, resting: Mapping[int, str] | None = None
) -> Course:
    """Judge the live spec, and find plan and seats for what is acted on."""
    metadata = seen.deployment["metadata"]
    raw = seen.deployment.get("spec")
    kept, kept_number = revision.latest(seen.children.values(), metadata["uid"])
    verdict = accept(metadata["name"], raw, kept_facts(raw, kept) or seen.facts)
    ask = wanted(raw if isinstance(raw, Mapping) else {}, seen.deployment.get("status") or {})
    before = _restore(kept)
    if isinstance(verdict, Accepted):
        course = Course(verdict, (), better=seen.better, resting=resting or {})
        course = _with_live_spec(course, kept, before, ask, live, gpus)
    else:
        course = Course(None, verdict, wanted=ask.count or 0, resting=resting or {})
        if before and kept:
            course = _stay(replace(course, active=before), before, kept.plan, ask, live, gpus)
    return replace(course, kept_number=kept_number)


def _with_live_spec(
    course: Course,
    kept: Kept | None,
    before: Accepted | None,
    ask: Wanted,
    live: Mapping[int, LiveReplica],
    gpus: Gpus,
) -> Course:
    accepted = course.accepted
    assert accepted is not None
    if (
        kept
        and before
        and _same_wish(accepted.request, before.request)
        and not _broken(accepted, kept.plan, live, gpus)
    ):
        course = _stay(replace(course, active=accepted), accepted, kept.plan, ask, live, gpus)
        if accepted.raw != kept.spec or accepted.files != kept.files:
            course = replace(course, to_keep=Kept(accepted.raw, accepted.files, kept.plan))
        idle = course.seating.waiting and not course.seating.seats and not course.seating.resting
        if not (idle and _may_replan(accepted)):
            return _with_better(course, accepted, kept.plan, ask, live, gpus)
    plan = choose(_question(accepted, ask, gpus), gpus.inventory(free_replicas=None))
    if plan.placements:
        return _begin(course, accepted, plan, ask, live, gpus)
    if course.plan is not None:
        return course
    if kept and before:
        return _stay(replace(course, active=before, shown_plan=plan), before, kept.plan, ask, live, gpus)
    return replace(course, shown_plan=plan, wanted=ask.count if ask.count is not None else 1)


def _with_better(
    course: Course, accepted: Accepted, plan: Plan, ask: Wanted, live: Mapping[int, LiveReplica], gpus: Gpus
) -> Course:
    """Look for a layout that beats the running one; take it only where the user asked for that and all is well."""
    if course.better is not None:
        return course
    mine = gpus.inventory(free_replicas=None)
    best = choose(_question(accepted, ask, gpus), mine)
    found = better(plan, best, accepted.request, mine)
    whole = [id_ for id_, serves in _worth(live, plan).items() if serves]
    if found and accepted.spec.rollout.replan is Replan.ALWAYS and len(whole) >= len(course.seating.seats):
        return _begin(course, accepted, best, ask, live, gpus)
    return replace(course, better=found)


def _stay(
    course: Course, active: Accepted, plan: Plan, ask: Wanted, live: Mapping[int, LiveReplica], gpus: Gpus
) -> Course:
    """The plan stays; the number of replicas follows the live spec."""
    number = ask.resolve(plan.derived_replicas)
    count = number.count or 0
    ids = choose_ids(_worth(live, plan), count)
    return replace(
        course,
        plan=plan,
        seating=keep_seats(ids, live, plan, active.request, gpus, resting=course.resting),
        wanted=count,
        derived_replicas=number.derived,
        write_replicas=count if ask.count is None else None,
    )


def _begin(
    course: Course, accepted: Accepted, plan: Plan, ask: Wanted, live: Mapping[int, LiveReplica], gpus: Gpus
) -> Course:
    """A new plan begins."""
    mine_to_derive = ask.count is None or ask.derived is not None
    number = Wanted(None, None).resolve(plan.derived_replicas) if mine_to_derive else ask
    count = number.count or 0
    return replace(
        course,
        active=accepted,
        plan=plan,
        shown_plan=None,
        seating=new_seats(choose_ids(_worth(live, plan), count), live, plan, gpus),
        better="",
        wanted=count,
        derived_replicas=number.derived,
        write_replicas=count if count != ask.count else None,
        to_keep=Kept(accepted.raw, accepted.files, plan),
    )


def _question(accepted: Accepted, ask: Wanted, gpus: Gpus) -> PlanRequest:
    return replace(accepted.request, replicas=_asked(ask), quotas=gpus.quota_room(standing=False))


def _asked(ask: Wanted) -> int | None:
    """The number for planning; None where it is the operator's to derive."""
    return None if ask.count is None or ask.derived is not None else ask.count


def _restore(kept: Kept | None) -> Accepted | None:
    """What was accepted last, ready to be acted on; None where today's rules cannot read it any more."""
    if kept is None:
        return None
    spec = read_kept(kept.spec)
    if spec is None:
        return None
    verdict = resolve(kept.spec, spec, ModelFacts(kept.files))
    return verdict if isinstance(verdict, Accepted) else None


def _same_wish(one: PlanRequest, other: PlanRequest) -> bool:
    """Whether both ask planning for the same, apart from how many replicas."""
    return _without_numbers(one) == _without_numbers(other)


def _without_numbers(request: PlanRequest) -> PlanRequest:
    return replace(request, replicas=None, max_replicas=None, quotas=())


def _broken(accepted: Accepted, plan: Plan, live: Mapping[int, LiveReplica], gpus: Gpus) -> bool:
    """Whether the layout lost what it needs, and nothing of it runs that would be stopped by a new one."""
    if not _may_replan(accepted) or any(_runs(replica) for replica in live.values()):
        return False
    return still_valid(plan, accepted.request, gpus.fleet) is not None


def _may_replan(accepted: Accepted) -> bool:
    return accepted.spec.rollout.replan is not Replan.NEVER


def _runs(replica: LiveReplica) -> bool:
    return any(pod.ready and not pod.terminating for _, pod in replica.pods)


def _worth(live: Mapping[int, LiveReplica], plan: Plan) -> dict[int, bool]:
    """The replicas there are, and whether each is worth keeping before others: those that serve."""
    size = plan.placements[0].layout.nodes_per_replica if plan.placements else 1
    return {
        id_: health(ObservedReplica(id_, (), size, one.incarnation, tuple(pod for _, pod in one.pods))).ready
        for id_, one in live.items()
        if (one.exists or one.told_nodes) and not one.is_surge
    }
