"""The kinds of objects that Shardwright reads or writes, and their addresses in the API. Knows no object."""

from dataclasses import dataclass
from urllib.parse import quote

from shardwright.api import labels


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object as the API names it."""

    api_version: str
    name: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group, empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The version inside the group."""
        return self.api_version.rpartition("/")[2]

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of a collection, an object or its subresource."""
        parts = ["/apis" if self.group else "/api", self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace)]
        parts.append(self.plural)
        if name:
            parts.append(quote(name))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


DEPLOYMENT = Kind(labels.API_VERSION, labels.KIND, labels.PLURAL)
NODE = Kind("v1", "Node", "nodes", namespaced=False)
POD = Kind("v1", "Pod", "pods")
SERVICE = Kind("v1", "Service", "services")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
EVENT = Kind("v1", "Event", "events")
SECRET = Kind("v1", "Secret", "secrets")
RESOURCE_QUOTA = Kind("v1", "ResourceQuota", "resourcequotas")
CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
JOB = Kind("batch/v1", "Job", "jobs")
STATEFUL_SET = Kind("apps/v1", "StatefulSet", "statefulsets")
CONTROLLER_REVISION = Kind("apps/v1", "ControllerRevision", "controllerrevisions")
AUTOSCALER = Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")

RESOURCE_SLICE = Kind("resource.k8s.io/v1", "ResourceSlice", "resourceslices", namespaced=False)
RESOURCE_CLAIM = Kind("resource.k8s.io/v1", "ResourceClaim", "resourceclaims")
CLAIM_TEMPLATE = Kind("resource.k8s.io/v1", "ResourceClaimTemplate", "resourceclaimtemplates")

DEVICES = (RESOURCE_SLICE, RESOURCE_CLAIM)
"""What tells and takes GPUs that are claimed by attribute; watched where the API server serves it."""
COMPUTE_DOMAIN = Kind("resource.nvidia.com/v1beta1", "ComputeDomain", "computedomains")
OPTIONAL = (*DEVICES, CLAIM_TEMPLATE, COMPUTE_DOMAIN)
"""Kinds of API groups that not every cluster serves."""
CHILDREN = (STATEFUL_SET, SERVICE, AUTOSCALER, DISRUPTION_BUDGET, CONFIG_MAP, CONTROLLER_REVISION)
"""What an InferenceDeployment may own; watched, so that what is edited or deleted by hand comes back."""
LABELLED = frozenset({CONFIG_MAP.name, CONTROLLER_REVISION.name, CLAIM_TEMPLATE.name, COMPUTE_DOMAIN.name})
"""Kinds that are watched by our label only: clusters hold many and large ones that are not ours."""
BY_NAME = {kind.name: kind for kind in (*CHILDREN, *OPTIONAL, DEPLOYMENT, NODE, POD, RESOURCE_QUOTA)}
OUR_LABEL = f"{labels.MANAGED_BY}=shardwright"
_WITHOUT_REPLICAS = f"{OUR_LABEL},!{labels.REPLICA}"


def selector(kind: Kind) -> str:
    """The label selector by which a kind is watched; empty = all of them.

    ControllerRevisions that StatefulSets make of their pods' templates carry the pods' labels: they are none of ours.
    """
    if kind.name not in LABELLED:
        return ""
    return _WITHOUT_REPLICAS if kind is CONTROLLER_REVISION else OUR_LABEL
