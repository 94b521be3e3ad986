"""The Secret by which the pods of one deployment know each other when one starts processes in another.

Its content is random, and what decides here may roll no dice; so it is no object of `build`, which is compared and
applied again and again. Whoever applies a StatefulSet that mounts it creates it first, unless it exists: the operator
needs no right to read Secrets, and running pods keep theirs. It is owned by the deployment and goes with it.
"""

from collections.abc import Mapping
from typing import Any

from shardwright.api import labels
from shardwright.engines.mpi import LAUNCH_VOLUME


def launch_secret_of(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Build the Secret that a StatefulSet mounts, without its content; nothing where it mounts none."""
    name = _mounted(document)
    if not name:
        return None
    metadata = document["metadata"]
    kept = (labels.MANAGED_BY, labels.DEPLOYMENT)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": {key: value for key, value in metadata["labels"].items() if key in kept},
            "ownerReferences": metadata["ownerReferences"],
        },
        "type": "Opaque",
        "immutable": True,
    }


def _mounted(document: Mapping[str, Any]) -> str:
    if document["kind"] != "StatefulSet":
        return ""
    volumes = document["spec"]["template"]["spec"].get("volumes") or ()
    return next((str(v["secret"]["secretName"]) for v in volumes if v["name"] == LAUNCH_VOLUME), "")
