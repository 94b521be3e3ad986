"""Faults and speeds, read once from FAKE_ENGINE_* variables; docs/fake-engine.md lists them."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "FAKE_ENGINE_"


@dataclass(frozen=True, slots=True)
class Knobs:
    """Times are seconds unless the name says otherwise; 0 switches a fault off."""

    load_seconds: float = 1.0
    """From the formed group to the first answered request."""
    step_milliseconds: float = 20.0
    """One decoding step of a batch of one."""
    step_microseconds_per_sequence: float = 100.0
    """What each further running request adds to a step."""
    prefill_microseconds_per_token: float = 50.0
    kv_tokens: int = 0
    """Capacity of the KV cache; 0 = sixteen requests of the full context."""
    answer_tokens: int = 0
    """Least length of an answer whose request allows it; 0 = what there is to say."""
    unready: bool = False
    """Load for ever."""
    load_fails: str = ""
    """End the load as `faults.FAULTS` says."""
    crash_after_requests: int = 0
    crash_after_seconds: float = 0.0
    crash_exit_code: int = 1
    hang_after_requests: int = 0
    """Stop stepping after so many; /health stays 200, as with a stuck collective."""
    oom_after_seconds: float = 0.0
    """Leave with 137, as a process that the kernel killed for memory."""
    follower_dies_after_seconds: float = 0.0
    """A node that is not the first leaves so long after the group formed."""
    follower_exit_code: int = 1
    fault_rank: int = -1
    """Only this node applies crash and OOM faults, -1 = every node; a load fails in this one, -1 = in the first."""
    group_timeout_seconds: float = 600.0
    """How long a group may take to form."""
    leader_loss_seconds: float = 3.0
    """How long a follower lives on after its leader's connection broke."""
    mpi_port: int = 29602
    """Where rank 0 of an MPI world waits for the others."""
    gpus: int = 0
    """GPUs of this container where nobody else says it."""


def read(environment: Mapping[str, str]) -> Knobs:
    """Read the knobs; an unknown or ill-typed one ends the process, so that a test cannot set a fault that never comes."""
    fields = {PREFIX + field.name.upper(): field for field in dataclasses.fields(Knobs)}
    found = {}
    for name, text in environment.items():
        if not name.startswith(PREFIX):
            continue
        if name not in fields:
            raise SystemExit(f"fake engine: {name} is no knob; there are {', '.join(sorted(fields))}")
        kind = type(fields[name].default)
        try:
            found[fields[name].name] = text.lower() in {"1", "true", "yes"} if kind is bool else kind(text)
        except ValueError:
            raise SystemExit(f"fake engine: {name}={text} is not {kind.__name__}") from None
    return Knobs(**found)
