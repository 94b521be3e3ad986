"""What a pod holds: GPUs as kube-scheduler counts them. Knows no node and no pool."""

from collections.abc import Mapping
from typing import Any

from shardwright.api import labels
from shardwright.inventory.raw import at, mapping, number, sequence, text, texts, whole
from shardwright.inventory.resources import CLAIMED, is_gpu_resource
from shardwright.inventory.types import PodUsage


def read_usage(pod: Mapping[str, Any]) -> PodUsage | None:
    """GPUs that a pod holds; None for one that is not bound, has finished or asked for none. Never raises."""
    node = text(at(pod, "spec", "nodeName"))
    if not node or text(at(pod, "status", "phase")) in ("Succeeded", "Failed"):
        return None
    devices = requested_devices(pod)
    if not devices:
        return None
    namespace, name = text(at(pod, "metadata", "namespace")), text(at(pod, "metadata", "name"))
    own = texts(at(pod, "metadata", "labels"))
    deployment = own.get(labels.DEPLOYMENT, "")
    replica = number(own.get(labels.REPLICA))
    return PodUsage(
        name=f"{namespace}/{name}",
        node=node,
        devices=devices,
        owner_uid=_controller_uid(pod),
        deployment_uid=own.get(labels.DEPLOYMENT_UID, ""),
        deployment=f"{namespace}/{deployment}" if deployment else "",
        replica=-1 if replica is None else replica,
        terminating=bool(at(pod, "metadata", "deletionTimestamp")),
    )


def requested_devices(pod: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    """(resource, count) of all GPUs that a pod asks for, bound to a node or not; sorted, counts above zero."""
    wanted = {**_requested(mapping(at(pod, "spec"))), **_claimed(pod)}
    return tuple(sorted((name, count) for name, count in wanted.items() if count > 0))


def _claimed(pod: Mapping[str, Any]) -> dict[str, int]:
    """GPUs that a pod of ours claims by attribute, as it says itself; those of others count with their claims."""
    device_class, _, count = texts(at(pod, "metadata", "annotations")).get(labels.CLAIMED_GPUS, "").partition("=")
    ours = labels.DEPLOYMENT in texts(at(pod, "metadata", "labels"))
    return {device_class: number(count) or 0} if ours and device_class in CLAIMED else {}


def _requested(spec: Mapping[str, Any]) -> dict[str, int]:
    """Sum the containers; an init container that needs more raises that, and sidecars are added to what follows."""
    total: dict[str, int] = {}
    for container in sequence(spec.get("containers")):
        _add(total, _of_container(container))
    peak: dict[str, int] = {}
    sidecars: dict[str, int] = {}
    for container in sequence(spec.get("initContainers")):
        need = _of_container(container)
        _add(need, sidecars)
        if text(at(container, "restartPolicy")) == "Always":
            sidecars = need
        for name, count in need.items():
            peak[name] = max(peak.get(name, 0), count)
    _add(total, sidecars)
    return {name: max(total.get(name, 0), peak.get(name, 0)) for name in total.keys() | peak.keys()}


def _of_container(container: object) -> dict[str, int]:
    """GPUs of one container; a limit without a request is a request, as the API server defaults it."""
    wanted = {**mapping(at(container, "resources", "limits")), **mapping(at(container, "resources", "requests"))}
    return {name: whole(amount) for name, amount in wanted.items() if isinstance(name, str) and is_gpu_resource(name)}


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, count in more.items():
        total[name] = total.get(name, 0) + count


def _controller_uid(pod: Mapping[str, Any]) -> str:
    owners = [owner for owner in sequence(at(pod, "metadata", "ownerReferences")) if at(owner, "controller") is True]
    return text(at(owners[0], "uid")) if owners else ""
