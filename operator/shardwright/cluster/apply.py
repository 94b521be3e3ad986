"""Carries out writes that were decided elsewhere: applies, deletions, status, events.

Decides only what an answer means.
"""

import secrets
from collections.abc import Mapping
from typing import Any

from shardwright.api import labels
from shardwright.cluster import kinds
from shardwright.cluster.client import ApiClient, ApiError, JsonObject
from shardwright.cluster.kinds import Kind
from shardwright.cluster.store import Store
from shardwright.engines.mpi import SECRET_KEY
from shardwright.manifests.secret import launch_secret_of

DERIVED_MANAGER = "shardwright-derived"
"""Field manager of a derived `spec.replicas`, so that any other writer is told apart from us."""
SECRET_BYTES = 32


class Writer:
    """Writes, and shows the store each answer at once, so that the next reconcile sees what this one did."""

    def __init__(self, client: ApiClient, store: Store) -> None:
        """Both belong to the same event loop."""
        self._client = client
        self._store = store

    async def apply(self, document: Mapping[str, Any], *, force: bool) -> JsonObject:
        """Server-side apply of a child, after the Secret that it mounts; returns the live object. Raises ApiError."""
        mounted = launch_secret_of(document)
        if mounted:
            await self._create_secret(mounted)
        kind = kinds.BY_NAME[document["kind"]]
        live = await self._client.apply(document, kind, manager=labels.FIELD_MANAGER, force=force)
        self._store.put(kind, live)
        return live

    async def _create_secret(self, document: Mapping[str, Any]) -> None:
        """Create a Secret with fresh random content unless it exists: it is never read, changed or replaced."""
        content = {"stringData": {SECRET_KEY: secrets.token_hex(SECRET_BYTES)}}
        try:
            await self._client.create({**document, **content}, kinds.SECRET, manager=labels.FIELD_MANAGER)
        except ApiError as error:
            if error.status != 409:
                raise

    async def put_right(self, document: Mapping[str, Any]) -> JsonObject:
        """Replace lists that somebody else mixed entries into, which no apply can, then apply. Raises ApiError.

        An apply merges lists by key and leaves others' entries; two ports of one name, say, are then refused for ever.
        """
        kind, metadata = kinds.BY_NAME[document["kind"]], document["metadata"]
        body = {key: value for key, value in document.items() if key not in {"apiVersion", "kind", "metadata"}}
        await self._client.patch(kind, metadata["namespace"], metadata["name"], body, manager=labels.FIELD_MANAGER)
        return await self.apply(document, force=True)

    async def delete(self, kind: Kind, document: Mapping[str, Any], *, grace_seconds: int | None = None) -> None:
        """Delete exactly this object; one that is gone already is fine. Raises ApiError."""
        metadata = document["metadata"]
        left = await self._client.delete(
            kind, metadata["namespace"], metadata["name"], uid=metadata["uid"], grace_seconds=grace_seconds
        )
        if left is None:
            self._store.remove(kind, document)
        else:
            self._store.put(kind, left)

    async def status(self, deployment: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        """Make `status` the whole status of the deployment. Raises ApiError."""
        body = self._address(deployment) | {"status": dict(status)}
        live = await self._client.apply(
            body, kinds.DEPLOYMENT, manager=labels.FIELD_MANAGER, force=True, subresource="status"
        )
        self._store.put(kinds.DEPLOYMENT, live)

    async def derived_replicas(self, deployment: Mapping[str, Any], replicas: int) -> None:
        """Write a derived number into `spec.replicas`; a user who wrote meanwhile wins. Raises ApiError."""
        body = self._address(deployment) | {"spec": {"replicas": replicas}}
        live = await self._client.apply(body, kinds.DEPLOYMENT, manager=DERIVED_MANAGER, force=False)
        self._store.put(kinds.DEPLOYMENT, live)

    async def event(
        self, about: Mapping[str, Any], kind: str, reason: str, message: str, now: str, name: str = ""
    ) -> None:
        """Post one Event about an object. With a name it is posted once, whoever asks how often. Raises ApiError."""
        metadata = about["metadata"]
        namespace = metadata.get("namespace") or "default"
        title = {"name": name} if name else {"generateName": f"{metadata['name']}-"}
        involved = {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion") if metadata.get(key)}
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {**title, "namespace": namespace},
            "involvedObject": {"apiVersion": about["apiVersion"], "kind": about["kind"], **involved},
            "type": kind,
            "reason": reason,
            "message": message[:1024],
            "source": {"component": "shardwright"},
            "reportingComponent": "shardwright",
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._client.create(body, kinds.EVENT, manager=labels.FIELD_MANAGER)
        except ApiError as error:
            if not name or error.status != 409:
                raise

    @staticmethod
    def _address(deployment: Mapping[str, Any]) -> JsonObject:
        metadata = deployment["metadata"]
        identity = {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]}
        return {"apiVersion": labels.API_VERSION, "kind": labels.KIND, "metadata": identity}


async def read_config_map(client: ApiClient, namespace: str, name: str) -> dict[str, str] | None:
    """The texts of a ConfigMap, or None where there is none. Raises ApiError."""
    try:
        document = await client.get(kinds.CONFIG_MAP, namespace, name)
    except ApiError as error:
        if error.status == 404:
            return None
        raise
    return dict(document.get("data") or {})
