"""Whose turn it is when a changed spec reaches running replicas, one after the other. Knows no manifests' content.

A replica's set is patched only when its turn comes, so that until then a lost pod of it comes back as it was. A
version that does not become ready takes up the room that `maxUnavailable` gives, and so stops the roll by itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Standing:
    """One replica as the roll sees it."""

    id: int
    outdated: bool
    """Its set asks for another engine than the plan does."""
    ready: bool
    settled: bool = True
    """Its pods are of its set's version and incarnation."""


def turns(standings: Iterable[Standing], max_unavailable: int) -> frozenset[int]:
    """The outdated replicas that may be patched at this moment."""
    replicas = sorted(standings, key=lambda one: one.id)
    outdated = [one for one in replicas if one.outdated]
    if not outdated:
        return frozenset()
    if not any(one.ready for one in replicas):
        return frozenset(one.id for one in outdated)
    allowed = max(1, max_unavailable)
    under_way = sum(not one.outdated and not (one.ready and one.settled) for one in replicas)
    down = [one for one in outdated if not one.ready]
    up = [one for one in outdated if one.ready]
    room = allowed - under_way
    chosen = down[: max(0, room)]
    room -= max(len(chosen), len(down))
    return frozenset(one.id for one in [*chosen, *up[: max(0, room)]])
