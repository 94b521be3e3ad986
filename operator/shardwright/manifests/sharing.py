"""Whether a claim that the spec names can be mounted by all pods that a plan makes: what no kubelet ever tells a user.

Decided by the claim's access modes; a claim that nobody could read is let through, since the scheduler and kubelet then
say what is wrong. Knows no cluster.
"""

from collections.abc import Iterator, Mapping, Sequence

from shardwright.api.reasons import Reason
from shardwright.api.spec import InferenceDeploymentSpec
from shardwright.engines.context import UnrenderableError

MANY, READ_MANY, ONE_NODE = "ReadWriteMany", "ReadOnlyMany", "ReadWriteOnce"


def named_claims(spec: InferenceDeploymentSpec) -> Iterator[tuple[str, bool, str]]:
    """Give (name, whether pods write to it, its field) of the claims that a model lies on or is downloaded to."""
    source = spec.model.source
    if source and source.persistent_volume_claim:
        yield source.persistent_volume_claim.claim_name, False, "spec.model.source.persistentVolumeClaim"
    if source and source.hub and source.hub.cache and source.hub.cache.claim_name:
        yield source.hub.cache.claim_name, True, "spec.model.source.hub.cache"


def check_sharing(
    spec: InferenceDeploymentSpec, replicas: Sequence[tuple[str, ...]], modes: Mapping[str, tuple[str, ...]]
) -> None:
    """Raise UnrenderableError where pods could never mount their claim. `replicas`: the nodes of each one's pods."""
    nodes = {node for each in replicas for node in each}
    pods = sum(map(len, replicas))
    for name, written, field in named_claims(spec):
        found = modes.get(name, ())
        if not found or MANY in found or (READ_MANY in found and not written):
            continue
        which = f"claim {name} ({field}) is {', '.join(found)}"
        if written and not set(found) - {READ_MANY}:
            problem = f"{which}: downloads cannot be written to it"
        elif ONE_NODE in found and len(nodes) > 1:
            problem = f"{which}, so one node at a time can mount it, and this plan has pods on {len(nodes)}"
        elif ONE_NODE not in found and pods > 1:
            problem = f"{which}, so one pod at a time can mount it, and this plan has {pods}"
        else:
            continue
        help_ = "use a claim that many nodes can mount (ReadWriteMany, or ReadOnlyMany for a model that is only read)"
        raise UnrenderableError(Reason.CLAIM_NOT_SHARED, f"{problem}: {help_}, or let it run in one pod")
