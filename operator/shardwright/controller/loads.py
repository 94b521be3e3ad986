"""Answers the external metrics API from the store: which leaders to ask for a deployment's load."""

from shardwright.cluster.store import Store
from shardwright.metrics.scrape import LeaderLoads, Load, leader_targets


class StoredLoads:
    """The load of a deployment by namespace and name."""

    def __init__(self, store: Store, loads: LeaderLoads) -> None:
        """Leaders come from the store, figures from `loads`."""
        self._store = store
        self._loads = loads

    async def __call__(self, namespace: str, name: str) -> Load | None:
        """Requests that run and wait, None where there is no such deployment. Raises MetricsUnavailableError."""
        key = (namespace, name)
        uid = self._store.uid(key)
        if uid is None:
            return None
        return await self._loads.load(leader_targets(self._store.pods(key), name, uid))
