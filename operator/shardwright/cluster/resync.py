"""Lists every watched kind, brings the store up to date and evicts what is gone.

The only place that notices a missed deletion.
"""

from collections.abc import Callable, Iterable, Sequence

from shardwright.cluster import kinds
from shardwright.cluster.client import ApiClient
from shardwright.cluster.kinds import Kind
from shardwright.cluster.store import Change, Store

WATCHED: tuple[Kind, ...] = (
    kinds.NODE, kinds.DEPLOYMENT, kinds.RESOURCE_QUOTA, kinds.POD, *kinds.CHILDREN,
)  # fmt: skip


async def served(client: ApiClient) -> tuple[Kind, ...]:
    """Everything that can be watched on this cluster: kinds of optional API groups where they are served.

    Claims come last, so that the devices that they hold are known. Raises ApiError.
    """
    versions = {kind.api_version: await client.serves(kind.api_version) for kind in kinds.OPTIONAL}
    optional = [kind for kind in kinds.OPTIONAL if versions[kind.api_version]]
    return (*(kind for kind in optional if kind is kinds.RESOURCE_SLICE), *WATCHED,
            *(kind for kind in optional if kind is not kinds.RESOURCE_SLICE))  # fmt: skip


async def relist(
    client: ApiClient, store: Store, kind: Kind, namespaces: Sequence[str], told: Callable[[Change], None]
) -> None:
    """List one kind in the namespaces (all if none are named), and tell what changed.

    One kind must not be listed twice at a time. Raises ApiError, then nothing is evicted.
    """
    store.begin_list(kind)
    seen: set[str] = set()
    oldest: int | None = None
    try:
        for namespace in _scopes(kind, namespaces):
            async for page, version in client.pages(kind, namespace, kinds.selector(kind)):
                oldest = version if oldest is None else min(oldest, version)
                for document in page:
                    seen.add(document["metadata"]["uid"])
                    told(store.put(kind, document))
    except BaseException:
        store.abandon_list(kind)
        raise
    for change in store.end_list(kind, seen, oldest or 0):
        told(change)


def _scopes(kind: Kind, namespaces: Sequence[str]) -> Iterable[str | None]:
    return namespaces if kind.namespaced and namespaces else (None,)
