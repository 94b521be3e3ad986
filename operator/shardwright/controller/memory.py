"""What is remembered between two reconciles of one deployment; losing it costs a few requests and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shardwright.reconcile.types import ChildName, Formed, ModelFacts, Yielded


@dataclass(slots=True)
class Memory:
    """Of one deployment."""

    uid: str
    created: str
    verified: dict[ChildName, tuple[str, int]] = field(default_factory=dict)
    """Hash of the wish and fingerprint of the live object that was found to be as wished."""
    stubborn: dict[ChildName, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    """Hash of the wish and what still differed after it was applied."""
    refused: dict[ChildName, tuple[str, str]] = field(default_factory=dict)
    """Hash of the wish and why the API server refused it."""
    formed: dict[int, Formed] = field(default_factory=dict)
    """Groups that were seen whole."""
    yielded: Mapping[int, Yielded] = field(default_factory=dict)
    """Groups that let go of what they held, so that others could be placed."""
    facts: ModelFacts | None = None
    facts_of: str = ""
    """Name of the ConfigMap that `facts` were read from."""
    claims: dict[str, tuple[str, ...]] | None = None
    """Access modes of the claims that the spec names; None = look again."""
    claims_of: tuple[str, ...] = ()
    """Their names when they were read."""
    better: str | None = None
    """The better layout that was found on the last slow look; None = look again."""
    waiting: bool = False
