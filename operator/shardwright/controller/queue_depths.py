"""Answers the external metrics API from the store: which leaders to ask for a deployment's queue."""

from shardwright.cluster.store import Store
from shardwright.metrics.scrape import QueueDepths, leader_targets


class StoredDepths:
    """The queue depth of a deployment by namespace and name."""

    def __init__(self, store: Store, depths: QueueDepths) -> None:
        """Leaders come from the store, figures from `depths`."""
        self._store = store
        self._depths = depths

    async def __call__(self, namespace: str, name: str) -> int | None:
        """Requests in hand, None where there is no such deployment. Raises MetricsUnavailableError."""
        key = (namespace, name)
        uid = self._store.uid(key)
        if uid is None:
            return None
        return await self._depths.depth(leader_targets(self._store.pods(key), name, uid))
