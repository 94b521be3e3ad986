"""A model on a claim, in a node's folder or in an image: a Job reads it in the background; its last words come back.

The Job is made, its pod looked at every two seconds, and both are removed. A pod that another Job owns is not believed.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shardwright.api import labels
from shardwright.api.reasons import Reason
from shardwright.cluster import kinds
from shardwright.cluster.client import ApiClient, ApiError
from shardwright.cluster.store import Key
from shardwright.fetch.library import Library
from shardwright.fetch.problem import FetchProblem
from shardwright.fetch.report import unpack
from shardwright.manifests.facts_job import SECONDS, FactsPod, facts_job
from shardwright.manifests.identity import DeploymentIdentity
from shardwright.reconcile.facts import VolumeQuestion
from shardwright.reconcile.types import ModelFacts

_LOOK_SECONDS = 2.0
_OTHERWISE = "or put its config.json into a ConfigMap and name that in spec.model.facts.configMapRef"


@dataclass(frozen=True, slots=True)
class _Volume:
    """A question of one deployment."""

    namespace: str
    name: str
    uid: str
    question: VolumeQuestion

    def __str__(self) -> str:
        """For people."""
        return f"the model on {self.question.place} at {self.question.path or '/'}"


class VolumeFacts:
    """All methods belong to one event loop."""

    def __init__(self, client: ApiClient, image: str, wake: Callable[[Key], None]) -> None:
        """`image` is the operator's own; `wake` is called with each deployment whose answer is there."""
        self._client = client
        self._image = image
        self._library: Library[_Volume, Key] = Library(self._read, wake, at_once=64, first_retry_seconds=60)

    def answer(self, key: Key, uid: str, question: VolumeQuestion) -> ModelFacts:
        """What is known now. Never waits, never raises."""
        if not self._image:
            return ModelFacts()
        volume = _Volume(*key, uid, question)
        book = self._library.ask(volume, key)
        if book.files is not None:
            return ModelFacts(book.files)
        if book.problem is not None:
            return ModelFacts(None, book.problem.message, book.problem.reason, book.retry_seconds)
        return ModelFacts(None, f"a Job reads the facts of {volume}", Reason.MODEL_FACTS_PENDING)

    async def close(self) -> None:
        """End what is being read, and remove its Jobs."""
        await self._library.close()

    async def _read(self, volume: _Volume, _: str) -> Mapping[str, str]:
        owner, asked = DeploymentIdentity(volume.name, volume.namespace, volume.uid), volume.question
        where = FactsPod(asked.volume, asked.path, asked.tolerations, asked.node_selector, asked.pull_secrets)
        job = facts_job(owner, self._image, where)
        try:
            live = await self._client.apply(job, kinds.JOB, manager=labels.FIELD_MANAGER, force=False)
            try:
                message = await self._last_words(live, volume)
            finally:
                await self._remove(live)
        except ApiError as error:
            words = f"{volume} cannot be read by a Job: {error.message}; allow that, {_OTHERWISE}"
            raise FetchProblem(Reason.MODEL_FACTS_UNREADABLE, words) from error
        return unpack(message)

    async def _last_words(self, job: Mapping[str, Any], volume: _Volume) -> str:
        metadata = job["metadata"]
        why = "its pod was not made"
        for _ in range(int((SECONDS + 30) / _LOOK_SECONDS)):
            selector = f"batch.kubernetes.io/controller-uid={metadata['uid']}"
            async for pods, _version in self._client.pages(kinds.POD, metadata["namespace"], selector):
                for pod in pods:
                    if _owned(pod, metadata["uid"]):
                        message, why = _seen(pod, why)
                        if message is not None:
                            return message
            await asyncio.sleep(_LOOK_SECONDS)
        words = f"{volume} was not read within {SECONDS} s: {why}; mend that, {_OTHERWISE}"
        raise FetchProblem(Reason.MODEL_FACTS_UNREADABLE, words)

    async def _remove(self, job: Mapping[str, Any]) -> None:
        metadata = job["metadata"]
        await self._client.delete(kinds.JOB, metadata["namespace"], metadata["name"], uid=metadata["uid"])


def _owned(pod: Mapping[str, Any], uid: str) -> bool:
    references = pod["metadata"].get("ownerReferences") or ()
    return any(reference.get("controller") and reference.get("uid") == uid for reference in references)


def _seen(pod: Mapping[str, Any], why: str) -> tuple[str | None, str]:
    """The last message of a pod that ended, and why one has not ended yet."""
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or ():
        state = container.get("state") or {}
        if "terminated" in state:
            return str(state["terminated"].get("message") or ""), ""
        if "waiting" in state:
            why = str(state["waiting"].get("message") or state["waiting"].get("reason") or why)
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            why = str(condition.get("message") or why)
    return ("" if status.get("phase") in {"Failed", "Succeeded"} else None), why
