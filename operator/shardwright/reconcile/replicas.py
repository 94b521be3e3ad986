"""How many replicas are wanted, and which ids they have. Pure; knows neither nodes nor pods' details."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

MOST = 10_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """The number of replicas, and who decided it."""

    count: int | None
    """None = to be derived by planning."""
    derived: int | None
    """What the operator derived last, while it is still the operator's to derive."""

    def resolve(self, derivation: int) -> "Wanted":
        """With a number, where none was given; derivation is the plan's."""
        return self if self.count is not None else Wanted(max(derivation, 1), max(derivation, 1))


def wanted(raw_spec: Mapping[str, Any], status: Mapping[str, Any]) -> Wanted:
    """What the live spec asks for.

    While `spec.replicas` is what the operator derived, it may derive again; after any other writer it never does.
    """
    given = raw_spec.get("replicas")
    told = status.get("derivedReplicas")
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given <= MOST:
        return Wanted(None, None)
    return Wanted(given, given if told == given else None)


def choose_ids(existing: Mapping[int, bool], count: int) -> tuple[int, ...]:
    """Ids of the replicas that shall exist. `existing` says of each replica there is whether it is worth keeping first.

    More are wanted: the lowest free ids. Fewer: those not worth keeping go first, then the highest ids.
    """
    kept = sorted(existing, key=lambda id_: (not existing[id_], id_))[:count]
    return tuple(sorted([*kept, *_free_ids(set(existing), count - len(kept))]))


def _free_ids(taken: Collection[int], count: int) -> list[int]:
    found: list[int] = []
    candidate = 0
    while len(found) < count:
        if candidate not in taken:
            found.append(candidate)
        candidate += 1
    return found
