"""All objects of one deployment from its spec and its plan. Pure: the same arguments give the same bytes, same order.

Objects with the label `shardwright.io/replica` belong to one replica and are rolled with it; the others belong to the
deployment.
"""

from collections.abc import Sequence
from typing import Any

from shardwright.api.spec import InferenceDeploymentSpec, ScalingMode
from shardwright.engines.base import GroupContext, PodProgram, UnrenderableError, options_of, render
from shardwright.manifests import hpa, names, pdb, service
from shardwright.manifests.claims import claim_template
from shardwright.manifests.compute_domain import compute_domain
from shardwright.manifests.configmap import configmap
from shardwright.manifests.durations import seconds
from shardwright.manifests.hashes import stamp
from shardwright.manifests.identity import DeploymentIdentity, ManifestSettings, ReplicaAssignment, ReplicaContext
from shardwright.manifests.sharing import check_sharing
from shardwright.manifests.statefulset import statefulset
from shardwright.models.profile import ModelProfile
from shardwright.plan.balancing import every_pod_serves
from shardwright.plan.capacity import requests_at_once
from shardwright.plan.types import Plan

__all__ = ["DeploymentIdentity", "ManifestSettings", "ReplicaAssignment", "UnrenderableError", "build"]


def build(
    deployment: DeploymentIdentity,
    spec: InferenceDeploymentSpec,
    profile: ModelProfile,
    plan: Plan,
    replicas: Sequence[ReplicaAssignment],
    settings: ManifestSettings,
    max_replicas: int | None = None,
) -> list[dict[str, Any]]:
    """Build every object that is to exist. `max_replicas` is the autoscaler's ceiling where the spec names none.

    A suspended deployment keeps its Services only. Raises UnrenderableError where the engine cannot run a placement.
    """
    everywhere = every_pod_serves(spec.engine.name, [placement.layout for placement in plan.placements])
    client = service.client_service(deployment, spec.service, every_pod=everywhere)
    objects = [service.group_service(deployment), client]
    if spec.suspend:
        return [stamp(document) for document in objects]
    if spec.autoscaling and spec.autoscaling.mode is ScalingMode.MANAGED:
        ceiling = spec.autoscaling.max_replicas or max_replicas or _ceiling(spec, plan)
        objects.append(
            hpa.horizontal_pod_autoscaler(deployment, spec.autoscaling, ceiling, requests_at_once(spec, plan))
        )
    if any(plan.placements[r.placement_index].layout.nodes_per_replica == 1 for r in replicas):
        objects.append(pdb.shared_budget(deployment))
    check_sharing(spec, [replica.nodes for replica in replicas], settings.claims)
    for replica in sorted(replicas, key=lambda r: r.id):
        placement = plan.placements[replica.placement_index]
        serve = everywhere and placement.layout.nodes_per_replica > 1
        objects += build_replica(ReplicaContext(deployment, spec, profile, placement, replica, settings, serve))
    return [stamp(document) for document in objects]


def build_replica(context: ReplicaContext) -> list[dict[str, Any]]:
    """Build the objects of one replica; what its set reads stands before it."""
    program = replica_program(context)
    files = configmap(context.owner, context.replica, program)
    objects = [files] if files else []
    objects += [found for found in (claim_template(context), compute_domain(context)) if found]
    if context.placement.layout.nodes_per_replica > 1:
        objects.append(pdb.group_budget(context.owner, context.replica))
    return [*objects, statefulset(context, program)]


def replica_program(context: ReplicaContext) -> PodProgram:
    """Render what the replica's pods run."""
    spec, settings = context.spec, context.settings
    grace = spec.pod_template.termination_grace_period_seconds
    grace = settings.grace_seconds if grace is None else grace
    group = GroupContext(
        hosts=_hosts(context),
        startup_seconds=seconds(spec.startup_timeout),
        grace_seconds=grace,
        pre_stop_seconds=min(settings.pre_stop_seconds, grace),
        image=spec.engine.image or _image(spec, context.placement.vendor, settings),
        cache_host_path=settings.cache_host_path,
        namespace=context.owner.namespace,
        hub=settings.hub,
        every_pod_serves=context.every_pod_serves,
        launch_secret=names.launch_secret(context.owner.name, context.owner.uid),
    )
    return render(spec, context.profile, context.placement, group)


def _hosts(context: ReplicaContext) -> tuple[str, ...]:
    owner, replica_id = context.owner, context.replica.id
    size = context.placement.layout.nodes_per_replica
    return tuple(names.host(owner.name, owner.namespace, replica_id, index) for index in range(size))


def _image(spec: InferenceDeploymentSpec, vendor: str, settings: ManifestSettings) -> str:
    options = options_of(spec)
    chosen = settings.images.get((spec.engine.name.value, vendor)) or options.images.get(vendor, "")
    return chosen.replace("{version}", options.version)


def _ceiling(spec: InferenceDeploymentSpec, plan: Plan) -> int:
    placeable = sum(placement.max_replicas for placement in plan.placements)
    return max(placeable, spec.replicas or 0, plan.derived_replicas)
