"""The Job that reads a model's config and weight headers where they lie: one short pod without rights.

Its answer is the last message of its container, which whoever reads pods can read: it needs no account and no network.
"""

import json
from collections.abc import Sequence
from typing import Any

from shardwright.api import labels
from shardwright.manifests.hashes import digest
from shardwright.manifests.identity import DeploymentIdentity
from shardwright.manifests.metadata import metadata

MOUNT = "/model"
SECONDS = 600
"""After which the Job gives up; its object goes by itself as long after its end."""
_NOBODY = 65532


def facts_job(
    owner: DeploymentIdentity, image: str, claim: str, path: str, tolerations: Sequence[str]
) -> dict[str, Any]:
    """Build the Job; the same question has the same name."""
    name = f"{owner.name}-facts-{digest([owner.uid, image, claim, path, list(tolerations)])}"
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
        "tolerations": [json.loads(row) for row in tolerations],
        "containers": [container],
        "volumes": [{"name": "model", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}],
    }  # fmt: skip
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
