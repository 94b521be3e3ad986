"""Which plan an object was rendered from, as a short hash; and the hash of a whole object.

The plan hash covers what the engine runs, and nothing else: labels, probes, affinity and start-up patience may change
without a restart. Its version goes up only when an equal engine would hash differently, so that an upgrade of the
operator restarts nothing: hashes of different versions are not compared.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from shardwright.api import labels
from shardwright.engines.program import PodProgram

HASH_VERSION = 1
ENGINE_KEYS = ("image", "command", "args", "env", "resources", "securityContext", "volumeMounts")
POD_KEYS = ("initContainers", "volumes", "securityContext", "runtimeClassName", "serviceAccountName")
PATIENCE = (
    "SHARDWRIGHT_START_SECONDS",
    "SHARDWRIGHT_DRAIN_SECONDS",
    "VLLM_ENGINE_READY_TIMEOUT_S",
    "--distributed-timeout-seconds=",
    "--shutdown-timeout=",
)
"""Variables and words that say how long to wait: they take effect when the engine next starts, not at once."""
OWN_FILES = ("member.py", "mpi_agent.py", "model.py", "last_words.py")
"""Ours, and compatible with itself across versions of the operator."""


def digest(value: object) -> str:
    """Sixteen hex digits of anything that is JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def plan_hash(template: Mapping[str, Any], program: PodProgram) -> str:
    """`<hash version>-<hash>` over what the engine of this pod template runs."""
    pod = template["spec"]
    container = pod["containers"][0]
    engine = {key: _lasting(container.get(key)) for key in ENGINE_KEYS}
    engine["resources"] = _without_ours(container["resources"], program)
    around = {key: pod.get(key) for key in POD_KEYS}
    around["initContainers"] = _before(pod, program)
    if pod.get("resourceClaims"):
        around["resourceClaims"] = pod["resourceClaims"]
    files = [file for file in program.files if file[0] not in OWN_FILES]
    return f"{HASH_VERSION}-{digest([engine, around, files])}"


def same_plan(left: str, right: str) -> bool:
    """Whether two plan hashes ask for the same engine; hashes of unlike versions cannot tell and count as the same."""
    return left == right or left.partition("-")[0] != right.partition("-")[0]


def _lasting(part: object) -> object:
    if not isinstance(part, list):
        return part
    return [item for item in part if not _name(item).startswith(PATIENCE)]


def _before(pod: Mapping[str, Any], program: PodProgram) -> list[Mapping[str, Any]] | None:
    """List what runs before the engine, ours without its resources: they are the engine's, which count already."""
    ours = program.preparation.name if program.preparation else ""
    return [
        {key: value for key, value in container.items() if key != "resources" or container["name"] != ours}
        for container in pod.get("initContainers", ())
    ] or None


def _without_ours(resources: Mapping[str, Any], program: PodProgram) -> dict[str, Any]:
    """Requests of cpu and memory that nobody asked for decide where a pod starts, and nothing of one that runs."""
    ours = dict(program.requests)
    kept = {name: n for name, n in resources["requests"].items() if n != ours.get(name)}
    return {**resources, "requests": kept}


def _name(item: object) -> str:
    return str(item.get("name", "")) if isinstance(item, Mapping) else str(item)


def stamp(document: dict[str, Any]) -> dict[str, Any]:
    """Add the object's own hash as an annotation, by which a later pass sees that nothing needs to be applied."""
    annotations = document["metadata"].setdefault("annotations", {})
    annotations.pop(labels.APPLIED_HASH, None)
    annotations[labels.APPLIED_HASH] = digest(document)
    return document
