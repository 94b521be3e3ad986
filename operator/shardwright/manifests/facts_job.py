"""The Job that reads a model's config and weight headers where they lie: one short pod without rights.

Its answer is the last message of its container, which whoever reads pods can read: it needs no account and no network.
"""

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

from shardwright.api import labels
from shardwright.manifests.hashes import digest
from shardwright.manifests.identity import DeploymentIdentity
from shardwright.manifests.metadata import metadata

MOUNT = "/model"
SECONDS = 600
"""After which the Job gives up; its object goes by itself as long after its end."""
_NOBODY = 65532
_GPUS = ("nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/i915", "gpu.intel.com/xe")
"""Taints of nodes where the engine's pods go: a folder or a local volume may be there only."""
_LABELS = ("nvidia.com/gpu.product", "amd.com/gpu.product-name", "gpu.intel.com/product")
_NEAR_GPUS = [
    {"weight": 100, "preference": {"matchExpressions": [{"key": label, "operator": "Exists"}]}} for label in _LABELS
]
"""Rather on such a node, for the same reason."""


@dataclass(frozen=True, slots=True)
class FactsPod:
    """Where the model lies and where its pod may run; what is JSON is passed on as it is."""

    volume: str
    """A pod's volume source, as JSON."""
    path: str
    tolerations: Sequence[str] = ()
    """Each as JSON."""
    node_selector: Sequence[tuple[str, str]] = ()
    pull_secrets: Sequence[str] = ()
    """Each as JSON."""


def facts_job(owner: DeploymentIdentity, image: str, where: FactsPod) -> dict[str, Any]:
    """Build the Job; the same question has the same name."""
    path = where.path
    name = f"{owner.name}-facts-{digest([owner.uid, image, *map(str, astuple(where))])}"
    marks = {labels.MANAGED_BY: "shardwright", "app.kubernetes.io/component": "model-facts"}
    folder = "/".join(part for part in (MOUNT, path.strip("/")) if part)
    container = {
        "name": "facts",
        "image": image,
        "args": ["inspect-model", "--report", folder],
        "terminationMessagePolicy": "File",
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "model", "mountPath": MOUNT, "readOnly": True}],
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": _NOBODY, "runAsGroup": _NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "tolerations": [*map(json.loads, where.tolerations), *({"key": key, "operator": "Exists"} for key in _GPUS)],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": _NEAR_GPUS}},
        "nodeSelector": dict(where.node_selector),
        "imagePullSecrets": [*map(json.loads, where.pull_secrets)],
        "containers": [container],
        "volumes": [{"name": "model", **json.loads(where.volume)}],
    }  # fmt: skip
    pod = {key: value for key, value in pod.items() if value not in ({}, [])}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {**metadata(owner, name), "labels": marks},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": SECONDS,
            "ttlSecondsAfterFinished": SECONDS,
            "template": {"metadata": {"labels": marks}, "spec": pod},
        },
    }
