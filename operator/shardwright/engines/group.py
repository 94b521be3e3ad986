"""The program around an engine whose replica spans several pods: each runs a member that forms the group.

One pod template serves leader and followers, so the role is found at run time from the pod's index; and a follower has
no HTTP API, so the member answers its probes. A replica of one pod needs none of this and runs the bare engine.
"""

from functools import cache
from importlib.resources import files

from shardwright.engines.context import GroupContext
from shardwright.engines.program import FILES_PATH, SERVING_PORT, Probe, Variable

MEMBER_PORT = 29480
"""Where every member of a group answers probes and its peers."""
STARTUP_SECONDS = 3
"""Between two questions whether loading is over: what a started engine waits for at most before it serves."""
LIVENESS_SECONDS = 10
POD_INDEX_FIELD = "metadata.labels['apps.kubernetes.io/pod-index']"
INCARNATION_FIELD = "metadata.annotations['shardwright.io/incarnation']"


def member_command(
    on_leader: tuple[str, ...] = (), on_follower: tuple[str, ...] = (), follower_runs: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Write what stands before the engine's words.

    The extra words are appended to them by role; where followers run another program, `follower_runs` is all of it.
    """
    roles = [f"--on-leader={word}" for word in on_leader] + [f"--on-follower={word}" for word in on_follower]
    roles += [f"--follower-runs={word}" for word in follower_runs]
    return ("python3", f"{FILES_PATH}/member.py", *roles, "--")


@cache
def member_file() -> tuple[str, str]:
    """Name and text of the member's program."""
    return "member.py", files("shardwright.engines").joinpath("files", "member.py").read_text("utf-8")


def group_env(context: GroupContext) -> tuple[Variable, ...]:
    """Tell a program which pod of which group it is in, and where the others answer."""
    return (
        Variable("SHARDWRIGHT_POD_INDEX", field_path=POD_INDEX_FIELD),
        Variable("SHARDWRIGHT_INCARNATION", field_path=INCARNATION_FIELD),
        Variable("SHARDWRIGHT_GROUP", ",".join(context.hosts)),
        Variable("SHARDWRIGHT_MEMBER_PORT", str(MEMBER_PORT)),
    )


def member_env(context: GroupContext) -> tuple[Variable, ...]:
    """Set what the member reads."""
    return (
        *group_env(context),
        Variable("SHARDWRIGHT_ENGINE_PORT", str(SERVING_PORT)),
        Variable("SHARDWRIGHT_START_SECONDS", str(context.startup_seconds)),
        Variable("SHARDWRIGHT_DRAIN_SECONDS", str(context.drain_seconds)),
        *((Variable("SHARDWRIGHT_EVERY_POD_SERVES", "1"),) if context.every_pod_serves else ()),
    )


def member_probes(context: GroupContext) -> tuple[Probe, Probe, Probe]:
    """Startup, readiness, liveness. Readiness is quick, for it is what takes half a group out of the Service."""
    return (
        Probe("/started", MEMBER_PORT, STARTUP_SECONDS, 5, startup_failures(context)),
        Probe("/ready", MEMBER_PORT, 1, 2, 2),
        Probe("/live", MEMBER_PORT, LIVENESS_SECONDS, 5, 6),
    )


def server_probes(context: GroupContext) -> tuple[Probe, Probe, Probe]:
    """Give the same three for a single pod, asked of the engine: refused while it loads, 503 once it is dead."""
    return (
        Probe("/health", SERVING_PORT, STARTUP_SECONDS, 5, startup_failures(context)),
        Probe("/health", SERVING_PORT, 2, 5, 2),
        Probe("/health", SERVING_PORT, LIVENESS_SECONDS, 10, 6),
    )


def startup_failures(context: GroupContext) -> int:
    """Probes that may fail before loading counts as failed."""
    return max(1, -(-context.startup_seconds // STARTUP_SECONDS))
