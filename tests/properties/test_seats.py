"""Seats of replicas, whatever happens around them: what stands on good nodes never moves, no GPU is seated twice.

A small cluster of real values (the store, the ledger, the operator's own view of GPUs) in which deployments come, go
and scale, nodes come, go and are cordoned, and strangers take GPUs. After each step every deployment is seated anew, in
any order, and a scheduler binds what has a seat.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from shardwright.api import labels
from shardwright.cluster import kinds
from shardwright.cluster.store import Store
from shardwright.controller.gpus import DeploymentGpus, Fleet, bound_nodes
from shardwright.plan.choose import choose
from shardwright.plan.types import LayoutPins, Plan
from shardwright.reconcile.ledger import Ledger
from shardwright.reconcile.live import LiveReplica
from shardwright.reconcile.placing import Seat, Seating, keep_seats
from shardwright.reconcile.replicas import choose_ids
from shardwright.reconcile.types import Reservation
from shardwright.status import observe_pod
from support.nodes import h100_sxm_8
from support.planning import dense_70b, inventory, pool, request

GPU = "nvidia.com/gpu"
SIZE = 8
PINS = {
    "quarter": LayoutPins(tensor=2),
    "half": LayoutPins(tensor=4),
    "whole": LayoutPins(tensor=8),
    "spread": LayoutPins(tensor=4, pipeline=2, nodes_per_replica=2),
    "pair": LayoutPins(tensor=8, pipeline=2, nodes_per_replica=2),
}
QUESTIONS = {kind: request(dense_70b(), replicas=1, pins=pins) for kind, pins in PINS.items()}
NODES = [f"n{number}" for number in range(5)]
ANY_POOL = inventory(pool("h100-sxm-8", nodes=5))


def plan_of(kind: str) -> Plan:
    plan = choose(QUESTIONS[kind], ANY_POOL)
    assert len(plan.placements) == 1
    return plan


PLANS = {kind: plan_of(kind) for kind in PINS}


@dataclass
class Wanted:
    """One deployment: what it asks for, and where its replicas were told to go."""

    name: str
    kind: str
    born: int
    count: int
    seats: dict[int, Seat] = field(default_factory=dict)

    @property
    def uid(self) -> str:
        return f"uid-{self.name}"

    @property
    def gpus(self) -> int:
        return PLANS[self.kind].placements[0].layout.gpus_per_pod


class World:
    """The cluster as the operator sees it, and a scheduler that does what it is told."""

    def __init__(self) -> None:
        self.store, self.ledger = Store(), Ledger()
        self.fleet = Fleet(self.store)
        self.deployments: dict[str, Wanted] = {}
        self.nodes: dict[str, bool] = {}
        self.bound: dict[tuple[str, int, int], str] = {}
        self.strangers: dict[str, tuple[str, int]] = {}
        self.hard = 1 << 20
        """GPUs that the namespace's ResourceQuota allows."""
        self.awake = True
        """Whether the scheduler binds; while it does not, promises stay promises."""
        self.version = 0
        self.replies: dict[str, Seating] = {}

    # What happens

    def node(self, name: str, cordoned: bool) -> None:
        self.nodes[name] = cordoned
        self._put(kinds.NODE, {**h100_sxm_8(name, unschedulable=cordoned)})
        self.fleet.node_changed()

    def node_gone(self, name: str) -> None:
        if name in self.nodes:
            del self.nodes[name]
            self._remove(kinds.NODE, h100_sxm_8(name))
            self.fleet.node_changed()
            for place in [place for place, node in self.bound.items() if node == name]:
                self._unbind(place)
            for stranger in [one for one, (node, _) in self.strangers.items() if node == name]:
                self.stranger_gone(stranger)

    def stranger(self, name: str, node: str, gpus: int) -> None:
        """Takes GPUs that no pod holds, promised or not."""
        if name not in self.strangers and self.free(node) >= gpus and self.used() + gpus <= self.hard:
            self.strangers[name] = (node, gpus)
            self._put(kinds.POD, self._pod(name, node, gpus, {}))

    def stranger_gone(self, name: str) -> None:
        if name in self.strangers:
            node, gpus = self.strangers.pop(name)
            self._remove(kinds.POD, self._pod(name, node, gpus, {}))

    def scheduler(self, awake: bool) -> None:
        self.awake = awake

    def quota(self, hard: int) -> None:
        self.hard = hard
        spec = {"hard": {f"requests.{GPU}": str(hard)}}
        metadata = {"name": "team", "namespace": "ns", "uid": "quota"}
        self._put(kinds.RESOURCE_QUOTA, {"metadata": metadata, "spec": spec, "status": spec})

    def scale(self, name: str, kind: str, count: int) -> None:
        """Asks for so many replicas; a new deployment is younger than all others."""
        known = self.deployments.get(name)
        if known is None:
            self.version += 1
            known = self.deployments[name] = Wanted(name, kind, self.version, 0)
            document = {"metadata": {"name": name, "namespace": "ns", "uid": known.uid}, "spec": {}}
            self._put(kinds.DEPLOYMENT, document)
        known.count = count

    # What the operator does

    def seat(self, name: str) -> None:
        """One reconcile: choose ids, seat them, promise, and let moved replicas' pods go."""
        one = self.deployments[name]
        live = self._live(one)
        ids = choose_ids({id_: bool(replica.bound_nodes) for id_, replica in live.items()}, one.count)
        gpus = DeploymentGpus(self.fleet, self.store, self.ledger, ("ns", name), one.uid)
        seating = keep_seats(ids, live, PLANS[one.kind], QUESTIONS[one.kind], gpus)
        self.replies[name] = seating
        one.seats = {seat.replica: seat for seat in seating.seats}
        for place in [place for place in self.bound if place[0] == name]:
            seat = one.seats.get(place[1])
            if place in self.bound and (seat is None or self.bound[place] not in seat.nodes):
                for other in [p for p in self.bound if p[:2] == place[:2]]:
                    self._unbind(other)
        promises = [Reservation(seat.replica, one.gpus, seat.nodes, GPU) for seat in seating.seats]
        self.ledger.reserve(one.uid, f"{one.born:06}", promises, bound_nodes(self.store, ("ns", name)))

    def schedule(self, name: str) -> None:
        """Admit and bind the pods of every replica that finds room for all of them."""
        one = self.deployments[name]
        for id_, seat in sorted(one.seats.items()) if self.awake else ():
            missing = [(index, node) for index, node in enumerate(seat.nodes) if (name, id_, index) not in self.bound]
            usable = all(self.nodes.get(node) is False and self.free(node) >= one.gpus for _, node in missing)
            admitted = self.used() + len(missing) * one.gpus <= self.hard
            for index, node in missing if usable and admitted else ():
                self.bound[name, id_, index] = node
                self._put(kinds.POD, self._pod_of(name, id_, index))
        self.ledger.rebind(one.uid, bound_nodes(self.store, ("ns", name)))

    # What is so

    def used(self) -> int:
        """What the quota counts."""
        ours = sum(self.deployments[place[0]].gpus for place in self.bound)
        return ours + sum(gpus for _, gpus in self.strangers.values())

    def free(self, node: str) -> int:
        if self.nodes.get(node) is not False:
            return 0
        held = sum(self.deployments[place[0]].gpus for place, where in self.bound.items() if where == node)
        return SIZE - held - sum(gpus for where, gpus in self.strangers.values() if where == node)

    def standing(self) -> dict[tuple[str, int], tuple[str, ...]]:
        """Replicas all of whose pods run, with their nodes."""
        found: dict[tuple[str, int], tuple[str, ...]] = {}
        for name, one in self.deployments.items():
            size = PLANS[one.kind].placements[0].layout.nodes_per_replica
            for id_ in one.seats:
                nodes = tuple(self.bound[p] for index in range(size) if (p := (name, id_, index)) in self.bound)
                if len(nodes) == size:
                    found[name, id_] = nodes
        return found

    def seated(self) -> Counter[str]:
        taken: Counter[str] = Counter()
        for one in self.deployments.values():
            for seat in one.seats.values():
                for node in seat.nodes:
                    taken[node] += one.gpus
        for node, gpus in self.strangers.values():
            taken[node] += gpus
        return taken

    # Objects

    def _live(self, one: Wanted) -> dict[int, LiveReplica]:
        found = {}
        for id_, seat in one.seats.items():
            indexes = [index for name, replica, index in self.bound if (name, replica) == (one.name, id_)]
            pods = tuple((raw, observe_pod(raw)) for raw in (self._pod_of(one.name, id_, i) for i in sorted(indexes)))
            found[id_] = LiveReplica(id_, {"metadata": {}}, pods, seat.nodes, 0)
        return found

    def _pod_of(self, name: str, id_: int, index: int) -> dict[str, Any]:
        one = self.deployments[name]
        marks = {
            labels.MANAGED_BY: "shardwright", labels.DEPLOYMENT: name, labels.DEPLOYMENT_UID: one.uid,
            labels.REPLICA: str(id_), labels.POD_INDEX: str(index),
        }  # fmt: skip
        return self._pod(f"{name}-{id_}-{index}", self.bound.get((name, id_, index), ""), one.gpus, marks)

    def _pod(self, name: str, node: str, gpus: int, marks: dict[str, str]) -> dict[str, Any]:
        metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "labels": marks}
        container = {"resources": {"limits": {GPU: str(gpus)}}}
        return {"metadata": metadata, "spec": {"nodeName": node, "containers": [container]},
                "status": {"phase": "Running"}}  # fmt: skip

    def _unbind(self, place: tuple[str, int, int]) -> None:
        document = self._pod_of(*place)
        if self.bound.pop(place, None):
            self._remove(kinds.POD, document)

    def _put(self, kind: kinds.Kind, document: dict[str, Any]) -> None:
        self.version += 1
        metadata = {**document["metadata"], "resourceVersion": str(self.version)}
        self.store.put(kind, {**document, "metadata": metadata})

    def _remove(self, kind: kinds.Kind, document: dict[str, Any]) -> None:
        self.version += 1
        self.store.remove(
            kind, {**document, "metadata": {**document["metadata"], "resourceVersion": str(self.version)}}
        )


names = st.sampled_from(["a", "b", "c"])
steps = st.one_of(
    st.tuples(st.just("scale"), names, st.sampled_from(sorted(PINS)), st.integers(0, 4)),
    st.tuples(st.just("node"), st.sampled_from(NODES), st.just(False)),
    st.tuples(st.just("node"), st.sampled_from(NODES), st.booleans()),
    st.tuples(st.just("node_gone"), st.sampled_from(NODES)),
    st.tuples(st.just("stranger"), st.sampled_from(["x", "y", "z"]), st.sampled_from(NODES), st.integers(1, 8)),
    st.tuples(st.just("stranger_gone"), st.sampled_from(["x", "y", "z"])),
    st.tuples(st.just("scheduler"), st.booleans()),
    st.tuples(st.just("quota"), st.sampled_from([0, 4, 8, 12, 16, 24, 40])),
)
histories = st.lists(st.tuples(steps, st.permutations(["a", "b", "c"])), min_size=3, max_size=25)


def begin() -> World:
    world = World()
    for name in NODES[:3]:
        world.node(name, False)
    return world


def happen(world: World, step: tuple[Any, ...], order: list[str]) -> None:
    getattr(world, step[0])(*step[1:])
    for name in order:
        if name in world.deployments:
            world.seat(name)
            world.schedule(name)


@settings(max_examples=150)
@given(histories)
def test_what_stands_on_good_nodes_never_moves(history: list[tuple[tuple[Any, ...], list[str]]]) -> None:
    world = begin()
    for step, order in history:
        before = world.standing()
        happen(world, step, order)
        after = world.standing()
        kept = 0
        for (name, id_), nodes in before.items():
            good = all(world.nodes.get(node) is False for node in nodes)
            if good and id_ in world.deployments[name].seats:
                assert after[name, id_] == nodes, (step, name, id_)
                kept += 1
            elif good:
                assert len(world.deployments[name].seats) == world.deployments[name].count, "only scaling ends it"
        event(f"kept {min(kept, 3)}")


@settings(max_examples=150)
@given(histories)
def test_no_gpu_is_seated_twice(history: list[tuple[tuple[Any, ...], list[str]]]) -> None:
    world = begin()
    for step, order in history:
        happen(world, step, order)
        for name in order:  # a promise that a stranger broke is mended once all have looked
            if name in world.deployments:
                world.seat(name)
        for node, gpus in world.seated().items():
            assert gpus <= SIZE, (step, node, world.replies)
        for name, one in world.deployments.items():
            seating = world.replies[name]
            assert len(seating.seats) + len(seating.waiting) == one.count


@settings(max_examples=150)
@given(histories)
def test_no_quota_is_promised_twice(history: list[tuple[tuple[Any, ...], list[str]]]) -> None:
    """Only what runs may exceed a quota, which then has shrunk: promises of what does not run yet keep within it."""
    world = begin()
    for step, order in history:
        happen(world, step, order)
        for name in order:
            if name in world.deployments:
                world.seat(name)
        promised = sum(one.gpus * len(seat.nodes) for one in world.deployments.values() for seat in one.seats.values())
        strangers = sum(gpus for _, gpus in world.strangers.values())
        runs = {(name, id_) for name, id_ in world.standing()}
        wanted = {(name, id_) for name, one in world.deployments.items() for id_ in one.seats}
        assert promised + strangers <= world.hard or wanted <= runs, (step, world.hard)


@settings(max_examples=100)
@given(st.dictionaries(st.integers(0, 12), st.booleans(), max_size=10), st.integers(0, 12))
def test_ids_that_serve_are_kept_first_and_more_never_replaces_any(existing: dict[int, bool], count: int) -> None:
    ids = choose_ids(existing, count)
    assert len(set(ids)) == count
    kept = set(existing) & set(ids)
    assert len(kept) == min(count, len(existing))
    serving = {id_ for id_, serves in existing.items() if serves}
    assert len(kept & serving) == min(count, len(serving))
    assert set(ids) <= set(choose_ids(existing, count + 1))
