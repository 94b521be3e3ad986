"""The pod template of a replica: the engine's container, its volumes, where it may run, and the user's fragments."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shardwright.api import labels
from shardwright.api.spec import InferenceDeploymentSpec
from shardwright.engines.program import PodProgram, Volume
from shardwright.manifests import names
from shardwright.manifests.affinity import affinity, tolerations
from shardwright.manifests.claims import pod_annotations, pod_claims, taint_key
from shardwright.manifests.container import container
from shardwright.manifests.identity import ReplicaContext
from shardwright.manifests.metadata import base_labels
from shardwright.manifests.preparation import preparation


def pod_template(context: ReplicaContext, program: PodProgram) -> dict[str, Any]:
    """Build the template without its plan hash, which is taken over it."""
    template = context.spec.pod_template
    incarnation = {labels.INCARNATION: str(context.replica.incarnation)}
    engine = container(context.spec, program, context.placement)
    return {
        "metadata": {
            "labels": {**(template.labels or {}), **pod_labels(context)},
            "annotations": {**(template.annotations or {}), **incarnation, **pod_annotations(context.placement)},
        },
        "spec": {
            "enableServiceLinks": False,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": program.grace_seconds,
            **_scheduling(context),
            **pod_claims(context),
            **_identity(context.spec),
            **_before(context, program, engine["resources"]),
            "containers": [engine],
            "volumes": _volumes(context, program),
        },
    }


def pod_labels(context: ReplicaContext) -> dict[str, str]:
    """Label a replica's pods with what selectors, the ledger of GPUs and people ask for."""
    return {
        "app.kubernetes.io/name": context.spec.engine.name.value,
        "app.kubernetes.io/instance": context.owner.name,
        **base_labels(context.owner, context.replica.id),
        labels.DEPLOYMENT_UID: context.owner.uid,
        labels.GROUP_SIZE: str(context.placement.layout.nodes_per_replica),
        **endpoint_labels(context),
    }


def endpoint_labels(context: ReplicaContext) -> dict[str, str]:
    """Tell whoever asks the pods that each of them answers, where it does."""
    return {labels.ENDPOINTS: labels.EVERY_POD} if context.every_pod_serves else {}


def _scheduling(context: ReplicaContext) -> dict[str, Any]:
    wish, template = context.spec.placement, context.spec.pod_template
    patience = context.settings.unreachable_seconds
    said: dict[str, Any] = {
        "nodeSelector": dict(wish.node_selector or {}),
        "affinity": affinity(context, template.affinity),
        "tolerations": tolerations(wish, taint_key(context.placement), patience),
        "topologySpreadConstraints": [dict(fragment) for fragment in template.topology_spread_constraints or ()],
        "priorityClassName": wish.priority_class_name,
        "schedulerName": wish.scheduler_name,
        "runtimeClassName": wish.runtime_class_name,
    }
    return {key: value for key, value in said.items() if value}


def _identity(spec: InferenceDeploymentSpec) -> dict[str, Any]:
    template = spec.pod_template
    said: dict[str, Any] = {
        "serviceAccountName": template.service_account_name,
        "imagePullSecrets": [dict(fragment) for fragment in template.image_pull_secrets or ()],
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}, **(template.security_context or {})},
    }
    return {key: value for key, value in said.items() if value}


def _before(context: ReplicaContext, program: PodProgram, resources: Mapping[str, Any]) -> dict[str, Any]:
    """List what runs before the engine; the user's first, for ours may need what they prepare (a network, a cache)."""
    said = [dict(fragment) for fragment in context.spec.pod_template.init_containers or ()]
    if program.preparation:
        said.append(preparation(context.spec, program, program.preparation, resources))
    return {"initContainers": said} if said else {}


def _volumes(context: ReplicaContext, program: PodProgram) -> list[dict[str, Any]]:
    shm = {"medium": "Memory", "sizeLimit": f"{program.shm_bytes >> 20}Mi"}
    volumes: list[dict[str, Any]] = [{"name": "shm", "emptyDir": shm}]
    before = program.preparation.volumes if program.preparation else ()
    written = {volume.name for volume in before if not volume.read_only}  # mounted by the engine to read all the same
    for volume in program.volumes:
        source = replace(volume, read_only=volume.read_only and volume.name not in written)
        volumes.append({"name": volume.name, **_source(source)})
    if program.files:
        name = names.replica(context.owner.name, context.replica.id)
        volumes.append({"name": "files", "configMap": {"name": name}})
    return volumes + [dict(fragment) for fragment in context.spec.pod_template.volumes or ()]


def _source(volume: Volume) -> Mapping[str, Any]:
    if volume.claim:
        return {"persistentVolumeClaim": {"claimName": volume.claim, "readOnly": volume.read_only}}
    if volume.secret:
        return {"secret": {"secretName": volume.secret}}
    if volume.image:
        return {"image": {"reference": volume.image, "pullPolicy": "IfNotPresent"}}
    if volume.host_path:
        kind = "DirectoryOrCreate" if volume.create_host_path else "Directory"
        return {"hostPath": {"path": volume.host_path, "type": kind}}
    if volume.size:
        claim: dict[str, Any] = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": volume.size}},
        }
        claim |= {"storageClassName": volume.storage_class} if volume.storage_class else {}
        return {"ephemeral": {"volumeClaimTemplate": {"spec": claim}}}
    return {"emptyDir": {}}
