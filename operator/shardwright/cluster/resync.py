"""Lists every watched kind, brings the store up to date and evicts what is gone.

The only place that notices a missed deletion.
"""

from collections.abc import Iterable, Sequence

from shardwright.cluster import kinds
from shardwright.cluster.client import ApiClient
from shardwright.cluster.kinds import Kind
from shardwright.cluster.store import Change, Store

WATCHED: tuple[Kind, ...] = (kinds.NODE, kinds.DEPLOYMENT, kinds.POD, *kinds.CHILDREN)


async def relist(client: ApiClient, store: Store, kind: Kind, namespaces: Sequence[str] = ()) -> list[Change]:
    """List one kind in the namespaces (all if none are named); returns what changed.

    Raises ApiError, then nothing is evicted.
    """
    store.begin_list(kind)
    changes: list[Change] = []
    seen: set[str] = set()
    oldest: int | None = None
    try:
        for namespace in _scopes(kind, namespaces):
            selector = kinds.OUR_LABEL if kind.name in kinds.LABELLED else ""
            async for page, version in client.pages(kind, namespace, selector):
                oldest = version if oldest is None else min(oldest, version)
                for document in page:
                    seen.add(document["metadata"]["uid"])
                    changes.append(store.put(kind, document))
    except BaseException:
        store.abandon_list(kind)
        raise
    return [
        change
        for change in (*changes, *store.end_list(kind, seen, oldest or 0))
        if change.key or change.node or change.released
    ]


def _scopes(kind: Kind, namespaces: Sequence[str]) -> Iterable[str | None]:
    return namespaces if kind.namespaced and namespaces else (None,)
