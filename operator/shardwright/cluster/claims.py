"""Which PersistentVolumeClaims tie their pod to one node, and how else they can be mounted."""

from collections.abc import Sequence

from shardwright.cluster import kinds
from shardwright.cluster.client import ApiClient, ApiError

SINGLE_NODE = frozenset({"ReadWriteOnce", "ReadWriteOncePod"})
HOW_TO_RELEASE = (
    "its volume {} is for a single node and may still be written there: delete the Node once it is surely off, "
    "or taint it node.kubernetes.io/out-of-service"
)


async def access_modes(client: ApiClient, namespace: str, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Of those claims that are there and may be read. Raises ApiError."""
    found = {}
    for name in names:
        try:
            claim = await client.get(kinds.CLAIM, namespace, name)
        except ApiError as error:
            if error.status not in {403, 404}:
                raise
            continue
        found[name] = tuple(str(mode) for mode in (claim.get("spec") or {}).get("accessModes") or ())
    return found


async def single_node_claims(client: ApiClient, namespace: str, names: Sequence[str]) -> list[str]:
    """Those that may be mounted on a single node only, or that may not be read. Raises ApiError."""
    tied = []
    for name in names:
        try:
            claim = await client.get(kinds.CLAIM, namespace, name)
        except ApiError as error:
            if error.status not in {403, 404}:
                raise
            if error.status == 403:
                tied.append(name)
            continue
        if SINGLE_NODE & set((claim.get("spec") or {}).get("accessModes") or ()):
            tied.append(name)
    return tied
