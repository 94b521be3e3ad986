"""How many requests wait and run at the leaders of a deployment, asked from them when somebody wants to know.

Where each pod of a group answers for its own data-parallel ranks, each counts as a leader here.

Only addresses that a Pod's status gives are asked, never names, redirects or proxies. A figure is the sum over all
ready leaders or an error: a part of it would read as "less load than there is". One page gives all figures of a leader.
Knows no Kubernetes API, no autoscaler.
"""

import asyncio
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from shardwright.api.labels import DEPLOYMENT, DEPLOYMENT_UID, ENDPOINTS, EVERY_POD, POD_INDEX
from shardwright.engines.program import SERVING_PORT

_RUNNING, _WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting"
_FAMILIES = (_RUNNING, _WAITING)
"""vLLM's gauges, one sample for each engine of a leader (data parallel: several)."""
_WANTED_LINE = re.compile(rf"^(?:{'|'.join(_FAMILIES)})[ {{].*$", re.MULTILINE)
_MAX_BYTES = 8 * 1024 * 1024
_PARALLEL = 64


class MetricsUnavailableError(Exception):
    """No figure can be given that is true now; the text says which leader and why."""


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """One leader."""

    pod: str
    address: str
    port: int = SERVING_PORT


@dataclass(frozen=True, slots=True)
class Load:
    """Requests of one leader, or summed over several."""

    running: int
    waiting: int

    @property
    def in_hand(self) -> int:
        """Requests that a client waits for, computed or not yet."""
        return self.running + self.waiting

    def __add__(self, other: "Load") -> "Load":
        """Sum two leaders' loads."""
        return Load(self.running + other.running, self.waiting + other.waiting)


@dataclass(frozen=True, slots=True)
class _Sample:
    load: Load
    at_seconds: float
    """Of a monotonic clock."""


def leader_targets(pods: Iterable[Mapping[str, Any]], name: str, uid: str) -> tuple[Target, ...]:
    """Pick the ready leaders of one deployment from Pods; a pod that only bears the name of another's is left out."""
    return tuple(sorted(target for pod in pods if (target := _leader_target(pod, name, uid)) is not None))


def _leader_target(pod: Mapping[str, Any], name: str, uid: str) -> Target | None:
    metadata, status = pod.get("metadata") or {}, pod.get("status") or {}
    own = metadata.get("labels") or {}
    serves = own.get(POD_INDEX) == "0" or own.get(ENDPOINTS) == EVERY_POD
    ours = own.get(DEPLOYMENT) == name and own.get(DEPLOYMENT_UID) == uid and serves
    ready = any(item.get("type") == "Ready" and item.get("status") == "True" for item in status.get("conditions") or ())
    address = str(status.get("podIP") or "")
    if not ours or not ready or metadata.get("deletionTimestamp") or not _is_a_pods(address):
        return None
    return Target(str(metadata.get("name", "")), address)


def _is_a_pods(address: str) -> bool:
    """Refuse what is no pod's own address: this host, the link (cloud metadata among it), many, none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return not (parsed.is_loopback or parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified)


def read_load(text: str) -> Load | None:
    """Sum each gauge over the engines of one exposition; None where one is missing or odd."""
    totals: dict[str, float] = {}
    try:
        for family in text_string_to_metric_families("\n".join((*_WANTED_LINE.findall(text), ""))):
            for sample in family.samples:
                totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
    except ValueError:
        return None
    values = [totals.get(family, math.nan) for family in _FAMILIES]
    if not all(math.isfinite(value) and value >= 0 for value in values):
        return None
    running, waiting = map(round, values)
    return Load(running, waiting)


class LeaderLoads:
    """Asks leaders at most every few seconds, and remembers what each said for as long as that may be told."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        fresh_seconds: float = 5,
        stale_seconds: float = 30,
        timeout_seconds: float = 2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Younger than `fresh` a figure is told without asking again; older than `stale` it is told no more."""
        self._session = session
        self._fresh, self._stale = fresh_seconds, stale_seconds
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._clock = clock
        self._samples: dict[Target, _Sample] = {}
        self._asking: dict[Target, asyncio.Task[str]] = {}
        self._room = asyncio.Semaphore(_PARALLEL)

    async def load(self, targets: Sequence[Target]) -> Load:
        """Sum over all these leaders. Raises MetricsUnavailableError if one has no figure to be told."""
        if not targets:
            raise MetricsUnavailableError("no leader is ready, so nothing is known of their requests")
        failures = await asyncio.gather(*(self._refresh(target) for target in targets))
        self._forget()
        samples = [self._samples.get(target) for target in targets]
        missing = [
            (target, why) for target, sample, why in zip(targets, samples, failures, strict=True) if sample is None
        ]
        if missing:
            target, why = missing[0]
            raise MetricsUnavailableError(f"{len(missing)} of {len(targets)} leaders: {target.pod}: {why}")
        return sum((sample.load for sample in samples if sample is not None), Load(0, 0))

    async def _refresh(self, target: Target) -> str:
        """Ask one leader unless its figure is fresh; many askers share one request. Returns why it failed."""
        known = self._samples.get(target)
        if known is not None and self._clock() - known.at_seconds < self._fresh:
            return ""
        if target not in self._asking:
            task = asyncio.create_task(self._ask(target))
            task.add_done_callback(lambda _: self._asking.pop(target, None))
            self._asking[target] = task
        return await asyncio.shield(self._asking[target])

    async def _ask(self, target: Target) -> str:
        host = f"[{target.address}]" if ":" in target.address else target.address
        asked_at = self._clock()
        try:
            async with (
                self._room,
                self._session.get(
                    f"http://{host}:{target.port}/metrics", timeout=self._timeout, allow_redirects=False
                ) as response,
            ):
                body, status = await _read(response.content), response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return f"/metrics does not answer ({type(error).__name__})"
        load = read_load(body.decode(errors="replace")) if status == 200 else None
        if load is None:
            return f"/metrics answers {status} without {' and '.join(_FAMILIES)}"
        self._samples[target] = _Sample(load, asked_at)
        return ""

    def _forget(self) -> None:
        now = self._clock()
        for target in [target for target, sample in self._samples.items() if now - sample.at_seconds > self._stale]:
            del self._samples[target]


async def _read(stream: aiohttp.StreamReader) -> bytes:
    """Read to the end, or to the bound: what is cut off reads as missing gauges, never as a wrong sum of one."""
    parts, size = [], 0
    async for chunk in stream.iter_chunked(64 * 1024):
        parts.append(chunk)
        size += len(chunk)
        if size > _MAX_BYTES:
            return b""
    return b"".join(parts)
