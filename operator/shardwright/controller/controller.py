"""The loop's two ends: observations become keys, and keys become decisions that are carried out.

Reading, planning and reserving happen without a pause in between, so that no two deployments count the same GPU. A
bug in one reconcile marks its own deployment and no other.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from shardwright.api.reasons import Reason
from shardwright.cluster import kinds
from shardwright.cluster.apply import Writer, read_config_map
from shardwright.cluster.claims import HOW_TO_RELEASE, access_modes, single_node_claims
from shardwright.cluster.client import ApiClient, ApiError
from shardwright.cluster.kinds import Kind
from shardwright.cluster.resync import WATCHED, relist, served
from shardwright.cluster.store import Change, Key, Store
from shardwright.controller.gpus import DeploymentGpus, Fleet, bound_nodes
from shardwright.controller.hub import HubFacts
from shardwright.controller.memory import Memory
from shardwright.controller.news import News
from shardwright.controller.restore import reservations_of
from shardwright.controller.volume import VolumeFacts
from shardwright.manifests.build import ManifestSettings
from shardwright.metrics.own import OperatorMetrics
from shardwright.queue import KeyedQueue
from shardwright.reconcile import revision
from shardwright.reconcile.decide import decide
from shardwright.reconcile.diff import differences
from shardwright.reconcile.facts import claim_names, hub_question, volume_question
from shardwright.reconcile.ledger import Ledger
from shardwright.reconcile.objects import applied_hash, name_of
from shardwright.reconcile.telling import trouble_decision
from shardwright.reconcile.types import ChildName, Decision, Event, ModelFacts, Observed, Write
from shardwright.settings import Settings

log = logging.getLogger("shardwright")
_MISSING_FACTS_SECONDS = 15


def utc_now() -> str:
    """The time as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Controller:
    """Everything that must be shared between reconciles. All methods belong to one event loop."""

    def __init__(
        self,
        client: ApiClient,
        store: Store,
        settings: Settings,
        metrics: OperatorMetrics,
        now: Callable[[], str] = utc_now,
    ) -> None:
        """Nothing is read or written before `start`."""
        self.store = store
        self.queue: KeyedQueue[Key] = KeyedQueue(
            interval_seconds=settings.key_interval_seconds,
            first_retry_seconds=settings.first_retry_seconds,
            longest_retry_seconds=settings.longest_retry_seconds,
        )
        self.ledger = Ledger()
        self._client = client
        self._writer = Writer(client, store)
        self._news = News(self._writer)
        self._hub = HubFacts(client, settings, self.queue.add)
        self._volumes = VolumeFacts(client, settings.facts_image, self.queue.add)
        self._settings = settings
        self._metrics = metrics
        self._manifests = ManifestSettings(
            images=settings.images,
            unreachable_seconds=settings.unreachable_seconds,
            grace_seconds=settings.grace_seconds,
            pre_stop_seconds=settings.pre_stop_seconds,
            cache_host_path=settings.cache_host_path,
            hub=settings.hub,
        )
        self._now = now
        self._fleet = Fleet(store, settings.expected_pools)
        self._memories: dict[Key, Memory] = {}
        self._keys: dict[str, Key] = {}
        self._woken: set[str] = set()
        self._wake_all = False
        self._wake_timer: asyncio.TimerHandle | None = None
        self.watched: Sequence[Kind] = WATCHED
        """Kinds that this cluster serves; known after `start`."""
        self._listing = {kind.name: asyncio.Lock() for kind in kinds.BY_NAME.values()}
        self._relist_due: dict[str, asyncio.TimerHandle] = {}
        self._relisting: set[asyncio.Task[None]] = set()

    # Observations

    async def start(self) -> None:
        """List everything, so that promises are known before anything is planned. Raises ApiError."""
        self.watched = await served(self._client)
        self.store.watches_devices = kinds.RESOURCE_SLICE in self.watched
        self.store.serves_compute_domains = kinds.COMPUTE_DOMAIN in self.watched
        for kind in self.watched:
            await relist(self._client, self.store, kind, self._settings.namespaces, lambda _: None)
        self._fleet.node_changed()
        for node in self.store.nodes().values():
            self._news.tell_of_node(node, self._now())
        for pool in self._fleet.unusable:
            log.warning("%s is not planned on: %s: %s", pool.name, pool.reason, pool.message)
        for deployment in self.store.deployments():
            self._restore(deployment)
        for key in sorted(self._memories, key=lambda key: (self._memories[key].created, key)):
            self.queue.add(key)

    def observe(self, kind: Kind, event: str | None, document: Mapping[str, Any]) -> None:
        """A watch event; `event` is None for an object that a list showed."""
        if event == "DELETED":
            self.changed(kind, self.store.remove(kind, document))
        else:
            self.changed(kind, self.store.put(kind, document, listed=event is None))

    def changed(self, kind: Kind, change: Change) -> None:
        """Enqueue whom a change concerns."""
        if change.key is not None:
            self._follow(kind, change.key)
        if kind in {kinds.NODE, kinds.RESOURCE_SLICE} and change.node is not None:
            self._fleet.node_changed()
            self._wake(self.ledger.seated(change.node), waiting=True)
            self._news.tell_of_node(self.store.node(change.node), self._now())
        elif change.node is not None:
            self._wake(self.ledger.promisees(change.node), waiting=change.freed)
        if change.quota_of is not None:
            self._wake(self._waiting_in(change.quota_of), waiting=False)
        if change.released is not None:
            namespace, name = change.released
            for key in self._memories:
                if key[0] == namespace and name.startswith(key[1]):
                    self.queue.add(key)
        if change.relisted:
            self._schedule_relist(kind)

    async def resync(self) -> None:
        """List all kinds, evict what is gone, and look at every deployment once. Raises ApiError."""
        for kind in self.watched:
            await self._relist(kind)
        for key, memory in self._memories.items():
            memory.facts = None
            memory.claims = None
            memory.refused.clear()
            memory.better = None
            self.queue.add(key)

    # Reconciles

    async def reconcile(self, key: Key) -> None:
        """Bring one deployment to what it should be; never raises."""
        started = asyncio.get_running_loop().time()
        result = "failed"
        try:
            result = await self._reconcile(key)
            self.queue.succeeded(key)
        except ApiError as error:
            delay = self.queue.retry(key)
            log.log(_level(error), "%s/%s: %s; tried again in %.1f s", *key, error, delay)
        except Exception as error:
            log.exception("%s/%s: a bug in Shardwright; the other deployments go on", *key)
            await self._mark(key, error)
            self.queue.retry(key)
        self._metrics.reconciled(result, asyncio.get_running_loop().time() - started)

    async def _reconcile(self, key: Key) -> str:
        deployment = self.store.deployment(key)
        if deployment is None or deployment["metadata"].get("deletionTimestamp"):
            self._forget(key, gone=deployment is None)
            return "gone"
        memory = self._remember(key, deployment)
        facts = await self._facts(key, memory, deployment)
        await self._claims(key, memory, deployment)
        decision = self._decide(key, memory, facts)
        if decision is None:
            return "gone"
        await self._carry_out(key, memory, decision[0], decision[1])
        if decision[1].requeue_after_seconds:
            self.queue.add_after(key, decision[1].requeue_after_seconds)
        elif facts.problem:
            self.queue.add_after(key, facts.retry_seconds or _MISSING_FACTS_SECONDS)
        return "done"

    def _decide(self, key: Key, memory: Memory, facts: ModelFacts) -> tuple[Observed, Decision] | None:
        """Read, plan and reserve; there is no `await` here, and there must never be one."""
        seen = self._observed(key, memory, facts)
        if seen is None:
            return None
        started = asyncio.get_running_loop().time()
        settings = replace(self._manifests, claims=memory.claims) if memory.claims else self._manifests
        gpus = DeploymentGpus(self._fleet, self.store, self.ledger, key, memory.uid)
        decision = decide(seen, gpus, settings, self._now())
        self._metrics.decided(asyncio.get_running_loop().time() - started)
        released = self.ledger.own(memory.uid)
        self.ledger.reserve(memory.uid, memory.created, decision.reservations, bound_nodes(self.store, key))
        if released - self.ledger.own(memory.uid):
            self._wake(set(), waiting=True)
        self._verify(key, memory, seen, decision)
        memory.waiting = decision.waiting
        memory.formed.update(decision.formed)
        memory.yielded = memory.yielded if decision.yielded is None else decision.yielded
        memory.better = memory.better if decision.better is None else decision.better
        return seen, decision

    def _verify(self, key: Key, memory: Memory, seen: Observed, decision: Decision) -> None:
        """Remember which live objects need no comparison until they or the wish change."""
        fingerprints = self.store.fingerprints(key)
        due = {name_of(write.document) for write in (*decision.keep, *decision.apply)}
        memory.verified = {
            name: (applied_hash(child), fingerprints[name]) for name, child in seen.children.items() if name not in due
        }

    def _observed(self, key: Key, memory: Memory, facts: ModelFacts) -> Observed | None:
        deployment = self.store.deployment(key)
        if deployment is None or deployment["metadata"]["uid"] != memory.uid:
            return None
        return Observed(
            deployment=deployment,
            children=self.store.children(key),
            pods=(*self.store.pods(key), *self.store.refused(key)),
            facts=facts,
            takes_name=lambda kind, name: self.store.takes_name(kind, key[0], name),
            formed=dict(memory.formed),
            yielded=memory.yielded,
            better=memory.better,
            verified=self._verified(key, memory),
            stubborn=dict(memory.stubborn),
            refused=dict(memory.refused),
        )

    def _verified(self, key: Key, memory: Memory) -> dict[ChildName, str]:
        fingerprints = self.store.fingerprints(key)
        return {name: wish for name, (wish, print_) in memory.verified.items() if fingerprints.get(name) == print_}

    async def _carry_out(self, key: Key, memory: Memory, seen: Observed, decision: Decision) -> None:
        for write in decision.keep:
            await self._apply(key, memory, write)
        if decision.status is not None:
            await self._writer.status(seen.deployment, decision.status)
        if decision.derived_replicas is not None:
            await self._write_derived(seen, decision.derived_replicas)
        for write in decision.apply:
            await self._apply(key, memory, write)
        for deletion in decision.delete:
            what = (*key, deletion.kind, deletion.document["metadata"]["name"])
            if tied := await single_node_claims(self._client, key[0], deletion.unless_tied):
                stays = f"pod {what[-1]} stays, though {deletion.why}: {HOW_TO_RELEASE.format(tied[0])}"
                self._news.tell_once(seen.deployment, Event("Warning", str(Reason.NODE_LOST), stays), self._now())
                continue
            log.info("%s/%s: %s %s is deleted: %s", *what, deletion.why)
            kind = kinds.BY_NAME[deletion.kind]
            await self._writer.delete(kind, deletion.document, grace_seconds=deletion.grace_seconds)
            if kind is kinds.POD and deletion.grace_seconds is None:
                # The store knows already what its watch will say, so that event wakes nobody; a kubelet may be gone.
                self.queue.add_after(key, self._settings.child_debounce_seconds)
        for event in decision.events:
            log.info("%s/%s: %s: %s", *key, event.reason, event.message)
            if event.kind == "Warning":
                self._metrics.warned(event.reason)
            self._news.tell(seen.deployment, event, self._now())

    async def _apply(self, key: Key, memory: Memory, write: Write) -> None:
        name = name_of(write.document)
        try:
            live = await self._write(write)
        except ApiError as error:
            if error.transient and not (error.status == 409 and not write.force):
                raise
            log.warning("%s/%s: %s %s is refused: %s", *key, *name, error.message)
            memory.refused[name] = (applied_hash(write.document), error.message)
            self.queue.add(key)
            return
        memory.refused.pop(name, None)
        left = differences(write.document, live)
        if left:
            memory.stubborn[name] = (applied_hash(write.document), left)
            log.warning("%s/%s: %s %s differs from what was applied: %s", *key, *name, ", ".join(left)[:500])
        else:
            memory.stubborn.pop(name, None)

    async def _write(self, write: Write) -> Mapping[str, Any]:
        try:
            return await self._writer.apply(write.document, force=write.force)
        except ApiError as error:
            if error.status != 422 or not write.force:
                raise
        return await self._writer.put_right(write.document)

    async def _write_derived(self, seen: Observed, replicas: int) -> None:
        try:
            await self._writer.derived_replicas(seen.deployment, replicas)
        except ApiError as error:
            if error.status != 409:
                raise
            log.info("spec.replicas of %s was written by somebody else meanwhile", seen.deployment["metadata"]["name"])

    async def _mark(self, key: Key, error: Exception) -> None:
        """Tell the user of a bug on the one deployment it hit."""
        memory = self._memories.get(key)
        seen = self._observed(key, memory, ModelFacts()) if memory else None
        if memory is None or seen is None:
            return
        what = f"{type(error).__name__}: {error}"
        message = f"a bug in Shardwright: {what}; nothing of this deployment is changed until it is gone"
        try:
            await self._carry_out(key, memory, seen, trouble_decision(seen, message, self._now()))
        except ApiError as refusal:
            log.warning("%s/%s: the bug could not be told: %s", *key, refusal)

    async def _facts(self, key: Key, memory: Memory, deployment: Mapping[str, Any]) -> ModelFacts:
        """Texts of the ConfigMap that the spec names, read once until the next resync; else what a hub says."""
        name = _facts_name(deployment)
        if name is None:
            return self._facts_elsewhere(key, memory.uid, deployment.get("spec"))
        if memory.facts is None or memory.facts_of != name or memory.facts.problem:
            files = await read_config_map(self._client, key[0], name)
            memory.facts_of = name
            problem = (
                f"there is no ConfigMap {name} in namespace {key[0]}: make it with the model's config.json as a key"
            )
            memory.facts = ModelFacts(files) if files is not None else ModelFacts(problem=problem)
        return memory.facts

    async def _claims(self, key: Key, memory: Memory, deployment: Mapping[str, Any]) -> None:
        """Read once until the next resync how the claims that the spec names can be mounted."""
        names = claim_names(deployment.get("spec"))
        if memory.claims is None or memory.claims_of != names:
            memory.claims, memory.claims_of = await access_modes(self._client, key[0], names), names

    def _facts_elsewhere(self, key: Key, uid: str, spec: object) -> ModelFacts:
        """What a hub or a volume says of a model, where nothing nearer knows it."""
        if hub_question(spec, None) is None and volume_question(spec, None) is None:
            return ModelFacts()
        kept, _ = revision.latest(self.store.children(key).values(), uid)
        if question := hub_question(spec, kept):
            return self._hub.answer(key, question)
        volume = volume_question(spec, kept)
        return self._volumes.answer(key, uid, volume) if volume else ModelFacts()

    # Bookkeeping

    def _follow(self, kind: Kind, key: Key) -> None:
        if kind is kinds.DEPLOYMENT:
            self.queue.add(key)
            return
        if kind is kinds.POD and (memory := self._memories.get(key)):
            self.ledger.rebind(memory.uid, bound_nodes(self.store, key))
        self.queue.add_after(key, self._settings.child_debounce_seconds)

    def _restore(self, deployment: Mapping[str, Any]) -> None:
        metadata = deployment["metadata"]
        key = (metadata["namespace"], metadata["name"])
        memory = self._remember(key, deployment)
        try:
            reservations = reservations_of(deployment, self.store.children(key).values())
        except Exception:
            log.exception("%s/%s: a bug in Shardwright: what it was promised cannot be read", *key)
            reservations = ()
        self.ledger.reserve(memory.uid, memory.created, reservations, bound_nodes(self.store, key))

    def _remember(self, key: Key, deployment: Mapping[str, Any]) -> Memory:
        metadata = deployment["metadata"]
        memory = self._memories.get(key)
        if memory is None or memory.uid != metadata["uid"]:
            self._forget(key, gone=True)
            memory = Memory(metadata["uid"], str(metadata.get("creationTimestamp") or ""))
            self._memories[key] = memory
            self._keys[memory.uid] = key
        return memory

    def _forget(self, key: Key, *, gone: bool) -> None:
        memory = self._memories.get(key)
        if memory is None:
            return
        if self.ledger.release(memory.uid):
            self._wake(set(), waiting=True)
        memory.waiting = False
        if gone:
            del self._memories[key]
            self._keys.pop(memory.uid, None)
            self.queue.forget(key)

    def _waiting_in(self, namespace: str) -> set[str]:
        return {memory.uid for key, memory in self._memories.items() if key[0] == namespace and memory.waiting}

    def _wake(self, uids: set[str], *, waiting: bool) -> None:
        """After a short rest, look again at these deployments, and at all that wait if GPUs may have become free."""
        self._woken |= uids
        self._wake_all |= waiting
        if (uids or waiting) and self._wake_timer is None:
            delay = self._settings.inventory_debounce_seconds
            self._wake_timer = asyncio.get_running_loop().call_later(delay, self._wake_now)

    def _wake_now(self) -> None:
        self._wake_timer = None
        keys = {self._keys[uid] for uid in self._woken if uid in self._keys}
        if self._wake_all:
            keys |= {key for key, memory in self._memories.items() if memory.waiting}
        self._woken, self._wake_all = set(), False
        for key in sorted(keys, key=lambda key: (self._memories[key].created, key)):
            self.queue.add(key)

    def _schedule_relist(self, kind: Kind) -> None:
        if kind.name not in self._relist_due:
            loop = asyncio.get_running_loop()
            self._relist_due[kind.name] = loop.call_later(1.0, self._start_relist, kind)

    def _start_relist(self, kind: Kind) -> None:
        self._relist_due.pop(kind.name, None)
        task = asyncio.get_running_loop().create_task(self._relist_quietly(kind))
        self._relisting.add(task)
        task.add_done_callback(self._relisting.discard)

    async def _relist_quietly(self, kind: Kind) -> None:
        try:
            await self._relist(kind)
        except ApiError as error:
            log.info("%s could not be listed: %s; tried again soon", kind.plural, error)
            self._schedule_relist(kind)

    async def _relist(self, kind: Kind) -> None:
        async with self._listing[kind.name]:
            await relist(self._client, self.store, kind, self._settings.namespaces, partial(self.changed, kind))

    async def close(self) -> None:
        """Let the last news out; end what is being read from hubs."""
        await self._hub.close()
        await self._volumes.close()
        await self._news.close()


def _level(error: ApiError) -> int:
    return logging.INFO if error.transient else logging.WARNING


def _facts_name(deployment: Mapping[str, Any]) -> str | None:
    """Name of the ConfigMap in the raw spec, whatever else may be wrong with it."""
    part: Any = deployment.get("spec")
    for step in ("model", "facts", "configMapRef", "name"):
        part = part.get(step) if isinstance(part, Mapping) else None
    return part if isinstance(part, str) and part else None


__all__ = ["Controller", "utc_now"]
