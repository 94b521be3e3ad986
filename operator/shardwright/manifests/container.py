"""The engine's container: from a PodProgram and the user's fragments to a dict."""

from collections.abc import Iterable, Mapping
from typing import Any

from shardwright.api.spec import InferenceDeploymentSpec, PodTemplateSpec
from shardwright.engines.program import FILES_PATH, PodProgram, Probe, Variable, Volume
from shardwright.inventory.resources import is_network_resource
from shardwright.manifests.claims import container_resources
from shardwright.plan.types import Placement

CONTAINER = "engine"
MEMORY_LOCK = "IPC_LOCK"


def container(spec: InferenceDeploymentSpec, program: PodProgram, placement: Placement) -> dict[str, Any]:
    """Build the container; keys in the order people read them."""
    template = spec.pod_template
    result: dict[str, Any] = {"name": CONTAINER, "image": program.image}
    if template.image_pull_policy:
        result["imagePullPolicy"] = template.image_pull_policy
    result |= {
        "command": list(program.command),
        "args": list(program.args),
        "env": environment(spec, program.env),
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in program.ports],
        "resources": resources(template.resources or {}, program, placement),
        "startupProbe": _probe(program.startup),
        "readinessProbe": _probe(program.readiness),
        "livenessProbe": _probe(program.liveness),
        **_lifecycle(program),
        "securityContext": _security(program, template.resources or {}),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": _mounts(program, template),
    }
    return result


def environment(spec: InferenceDeploymentSpec, ours: Iterable[Variable]) -> list[dict[str, Any]]:
    """Ours first, so that the user's may refer to them; a name said twice takes the last, the pod template's."""
    said: dict[str, dict[str, Any]] = {}
    for variable in ours:
        said[variable.name] = _variable(variable)
    for setting in spec.engine.env or ():
        said[setting.name] = {"name": setting.name, "value": setting.value}
    for fragment in spec.pod_template.env or ():
        said[str(fragment.get("name"))] = dict(fragment)
    return list(said.values())


def _variable(variable: Variable) -> dict[str, Any]:
    if variable.field_path:
        return {"name": variable.name, "valueFrom": {"fieldRef": {"fieldPath": variable.field_path}}}
    if variable.secret_name:
        reference = {"name": variable.secret_name, "key": variable.secret_key}
        return {"name": variable.name, "valueFrom": {"secretKeyRef": reference}}
    return {"name": variable.name, "value": variable.value}


def resources(user: Mapping[str, Any], program: PodProgram, placement: Placement) -> dict[str, Any]:
    """Join the user's requests and limits with the layout's GPUs and what the engine asks for.

    Extended resources need limits equal to requests. Of a resource that the user names anywhere, only the user's
    amounts count: a request of ours might exceed a limit of theirs.
    """
    limits, asked = dict(user.get("limits") or {}), dict(user.get("requests") or {})
    devices = {name: str(count) for name, count in program.devices}
    gpus, claims = container_resources(placement)
    result = {key: value for key, value in user.items() if key not in ("limits", "requests")} | claims
    result["limits"] = _without_nothing({**devices, **limits, **gpus})
    named = limits.keys() | asked.keys()
    ours = {name: amount for name, amount in program.requests if name not in named}
    result["requests"] = _without_nothing({**ours, **devices, **asked, **gpus})
    return result


def _without_nothing(amounts: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out network devices of which the user wants none."""
    return {name: n for name, n in amounts.items() if not (is_network_resource(name) and str(n) == "0")}


def _probe(probe: Probe) -> dict[str, Any]:
    return {
        "httpGet": {"path": probe.path, "port": probe.port},
        "periodSeconds": probe.period_seconds,
        "timeoutSeconds": probe.timeout_seconds,
        "failureThreshold": probe.failure_threshold,
    }


def _lifecycle(program: PodProgram) -> dict[str, Any]:
    """Wait before the signal; not at all where the grace leaves no time."""
    seconds = program.pre_stop_seconds
    return {"lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}} if seconds else {}


def _security(program: PodProgram, user: Mapping[str, Any]) -> dict[str, Any]:
    """RDMA registers memory with the network card, which takes the right to lock it."""
    theirs = {name for kind in ("limits", "requests") for name in _without_nothing(user.get(kind) or {})}
    wanted = theirs | {name for name, _ in program.devices}
    lock = (MEMORY_LOCK,) if any(is_network_resource(name) for name in wanted) else ()
    capabilities = sorted({*program.capabilities, *lock})
    result: dict[str, Any] = {"allowPrivilegeEscalation": False}
    return {**result, "capabilities": {"add": capabilities}} if capabilities else result


def _mounts(program: PodProgram, template: PodTemplateSpec) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [{"name": "shm", "mountPath": "/dev/shm"}]
    mounts += [volume_mount(volume) for volume in program.volumes]
    if program.files:
        mounts.append({"name": "files", "mountPath": FILES_PATH, "readOnly": True})
    return mounts + _fragments(template.volume_mounts)


def volume_mount(volume: Volume) -> dict[str, Any]:
    """Mount one volume."""
    mount: dict[str, Any] = {"name": volume.name, "mountPath": volume.mount_path}
    mount |= {"subPath": volume.sub_path} if volume.sub_path else {}
    return {**mount, "readOnly": True} if volume.read_only else mount


def _fragments(fragments: Iterable[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    return [dict(fragment) for fragment in fragments or ()]
