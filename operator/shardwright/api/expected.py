"""Nodes that an autoscaler could add, as a platform team declares them; read at start and by `shardwright plan`.

A pool of nodes that do not exist yet. Nothing here knows a GPU or a plan.
"""

import json
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from shardwright.api.problems import path_of
from shardwright.api.spec import Annotations, LabelKey, Labels, LabelValue, Schema

KEY = "expectedPools"
"""The chart's value, and the key under which a file lists pools."""
DISCOVERED = (
    "nvidia.com/", "amd.com/", "beta.amd.com/", "gpu.intel.com/", "habana.ai/", "feature.node.kubernetes.io/",
)  # fmt: skip
"""Labels that daemons write after a node has joined: planning reads them, no autoscaler can promise them."""
PoolName = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
MOST_NODES = 1000


class ExpectedTaint(Schema):
    """A taint that the nodes will carry."""

    key: LabelKey
    value: LabelValue = ""
    effect: Annotated[str, Field(pattern="^(NoSchedule|PreferNoSchedule|NoExecute)$")]


class ExpectedPool(Schema):
    """Alike nodes of which an autoscaler may add up to a number."""

    name: PoolName
    labels: Labels
    """All that the nodes will carry; those that no discovery writes are what pods ask for."""
    annotations: Annotations = Field(default_factory=dict)
    """Links, as in docs/interconnect.md."""
    taints: Annotated[list[ExpectedTaint], Field(max_length=32)] = Field(default_factory=list)
    gpus: Annotated[int, Field(ge=1, le=128)]
    """Of one node."""
    resource: Annotated[str, Field(min_length=1, max_length=253)] = "nvidia.com/gpu"
    max_nodes: Annotated[int, Field(ge=1, le=MOST_NODES)]
    """As the autoscaler's own limit, nodes that exist already included."""

    @property
    def selector(self) -> tuple[tuple[str, str], ...]:
        """Labels that a node has from birth, sorted: by these an autoscaler recognises what a pod waits for."""
        return tuple(sorted((key, value) for key, value in self.labels.items() if not key.startswith(DISCOVERED)))


class ExpectedPoolsError(ValueError):
    """The declaration cannot be used; the text says where and why."""


_POOLS: TypeAdapter[list[ExpectedPool]] = TypeAdapter(Annotated[list[ExpectedPool], Field(max_length=256)])


def parse_expected(text: str) -> tuple[ExpectedPool, ...]:
    """Read a list of pools from JSON, sorted by name. Raises ExpectedPoolsError."""
    try:
        pools = _POOLS.validate_json(text, strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        raise ExpectedPoolsError("; ".join(_sentences(error))) from error
    names = [pool.name for pool in pools]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ExpectedPoolsError(f"{KEY}: pool {twice[0]} is given twice: rename or remove one of them")
    if bare := next((pool.name for pool in pools if not pool.selector), None):
        raise ExpectedPoolsError(
            f"{KEY}: pool {bare} has no label that its nodes carry from birth, so no autoscaler could tell which nodes "
            "a pod waits for: add one, such as karpenter.sh/nodepool or your cloud's node group label"
        )
    return tuple(sorted(pools, key=lambda pool: pool.name))


def expected_in(documents: Iterable[Any]) -> tuple[ExpectedPool, ...] | None:
    """Collect the pools that documents of a file list under `expectedPools`; None where none has that key."""
    found = [document[KEY] for document in documents if KEY in document]
    if not found:
        return None
    try:
        text = json.dumps([pool for part in found for pool in part])
    except (TypeError, ValueError, RecursionError) as error:
        raise ExpectedPoolsError(f"{KEY} is no list of pools ({error})") from error
    return parse_expected(text)


def _sentences(error: ValidationError) -> Iterable[str]:
    for detail in error.errors(include_url=False)[:4]:
        where = path_of((KEY, *detail["loc"]))
        known = ", ".join(info.alias or name for name, info in ExpectedPool.model_fields.items())
        kind = detail["type"]
        if kind == "extra_forbidden":
            yield f"{where}: unknown field; a pool has {known}"
        elif kind == "missing":
            yield f"{where}: is required: add it"
        else:
            yield f"{where}: {detail['msg']}: change the value"
