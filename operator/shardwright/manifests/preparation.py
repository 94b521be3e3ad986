"""The init container that prepares a pod for its engine: the engine's image, the user's variables, none of the GPUs."""

from collections.abc import Mapping
from typing import Any

from shardwright.api.spec import InferenceDeploymentSpec
from shardwright.engines.program import FILES_PATH, PodProgram, Preparation
from shardwright.manifests.container import environment, volume_mount

_SHARED = ("cpu", "memory", "ephemeral-storage")


def preparation(
    spec: InferenceDeploymentSpec, program: PodProgram, work: Preparation, resources: Mapping[str, Any]
) -> dict[str, Any]:
    """Build the container; `resources` are the engine's. It has the user's variables too: a proxy, a certificate."""
    template = spec.pod_template
    result: dict[str, Any] = {"name": work.name, "image": program.image}
    if template.image_pull_policy:
        result["imagePullPolicy"] = template.image_pull_policy
    files = {"name": "files", "mountPath": FILES_PATH, "readOnly": True}
    return result | {
        "command": list(work.command),
        "env": environment(spec, work.env),
        "resources": _without_devices(resources),
        "securityContext": {"allowPrivilegeEscalation": False},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [files, *(volume_mount(volume) for volume in work.volumes)],
    }


def _without_devices(engine: Mapping[str, Any]) -> dict[str, Any]:
    """Ask for what the engine asks for, which adds nothing to the pod and keeps its quality of service; no devices."""
    kept = {
        kind: {name: amount for name, amount in engine[kind].items() if name in _SHARED}
        for kind in ("limits", "requests")
        if kind in engine
    }
    return {kind: amounts for kind, amounts in kept.items() if amounts}
