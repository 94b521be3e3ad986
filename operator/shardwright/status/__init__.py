"""What is said of a deployment: from what is wanted and what is seen to the status that is written. Pure."""

from shardwright.status.build import build_status
from shardwright.status.events import EventNote, transitions
from shardwright.status.observed import (
    Death,
    ObservedPod,
    ObservedReplica,
    ReplicaHealth,
    first_to_break,
    health,
    in_words,
)  # fmt: skip
from shardwright.status.pods import observe_pod
from shardwright.status.situation import ScalerView, Situation, Trouble

__all__ = [
    "Death", "EventNote", "ObservedPod", "ObservedReplica", "ReplicaHealth", "ScalerView", "Situation", "Trouble",
    "build_status", "first_to_break", "health", "in_words", "observe_pod", "transitions",
]  # fmt: skip
