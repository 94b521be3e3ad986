"""Two Services: one that gives every pod its DNS name, ready or not, and one for clients, of those that answer."""

from typing import Any

from shardwright.api import labels
from shardwright.api.spec import ServiceSpec
from shardwright.engines.program import SERVING_PORT
from shardwright.manifests import names
from shardwright.manifests.identity import DeploymentIdentity
from shardwright.manifests.metadata import metadata


def group_service(owner: DeploymentIdentity) -> dict[str, Any]:
    """Headless, with unready addresses: the pods of a group must find each other before any of them is ready."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(owner, names.group_service(owner.name)),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {labels.DEPLOYMENT: owner.name},
            "ports": [{"name": "http", "port": SERVING_PORT, "targetPort": SERVING_PORT, "protocol": "TCP"}],
        },
    }


def client_service(owner: DeploymentIdentity, spec: ServiceSpec, *, every_pod: bool = False) -> dict[str, Any]:
    """Serve users: by the leaders, as status.selector counts them, or by every pod where each of them answers."""
    leaders = {} if every_pod else {labels.POD_INDEX: "0"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(owner, names.client_service(owner.name), annotations=spec.annotations),
        "spec": {
            "type": spec.type,
            "selector": {labels.DEPLOYMENT: owner.name, **leaders},
            "ports": [{"name": "http", "port": spec.port, "targetPort": SERVING_PORT, "protocol": "TCP"}],
        },
    }
