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
    surge: bool = False
    """It is beyond the wanted number: it serves while another is away, and nothing is lost when it is patched."""


def turns(standings: Iterable[Standing], max_unavailable: int) -> frozenset[int]:
    """The outdated replicas that may be patched at this moment."""
    replicas = sorted(standings, key=lambda one: one.id)
    extra = [one for one in replicas if one.surge]
    always = frozenset(one.id for one in extra if one.outdated)
    replicas = [one for one in replicas if not one.surge]
    outdated = [one for one in replicas if one.outdated]
    if not any(one.ready for one in replicas):
        return always | frozenset(one.id for one in outdated)
    allowed = max_unavailable + sum(one.ready and one.settled and not one.outdated for one in extra)
    under_way = sum(not one.outdated and not (one.ready and one.settled) for one in replicas)
    down = [one for one in outdated if not one.ready]
    up = [one for one in outdated if one.ready]
    room = allowed - under_way
    chosen = down[: max(0, room, 1 - under_way)]
    room -= max(len(chosen), len(down))
    return always | frozenset(one.id for one in [*chosen, *up[: max(0, room)]])


def surge_wanted(standings: Iterable[Standing], max_surge: int) -> int:
    """How many replicas beyond the wanted number are of use: while one of the wanted is outdated or on its way up."""
    return min(max_surge, sum(one.outdated or not (one.ready and one.settled) for one in standings if not one.surge))
