"""Which facts hold for an engine version, and which batch limits it takes by default on a device.

The facts are rows of the catalogue.
"""

import re
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from shardwright.api.spec import EngineName
from shardwright.catalog.model_rows import engine_facts
from shardwright.catalog.types import Vendor
from shardwright.plan.memory_weights import ExpertPadding

GIB = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class VersionFacts:
    """One engine version's accounting; the fields are explained at the top of catalog/engines/vllm.yaml.

    Compared by identity: `version_facts` makes one object per version.
    """

    utilization_ppm: int
    batch_defaults: tuple[tuple[int, int, int, str], ...]
    kv_tokens: str
    hybrid: bool
    async_batches: int
    graphs_in_budget: bool
    sampler_bytes: int
    activation_base: int
    non_torch: tuple[tuple[int, int, int], ...]
    """(tensor size, bytes with a switched fabric, bytes without), rising."""
    pipeline_non_torch: int
    expert_workspace: bool
    kv_scheme_followed: bool
    hopper_experts: bool
    chunks_in_groups: bool
    refines_blocks: bool
    unmeasured_reserve_ppm: int
    graph_bytes: int
    known: bool
    """False when the version could not be read and the default's facts were taken."""

    def batch_limits(self, memory_bytes: int, product: str) -> tuple[int, int]:
        """(batched tokens, sequences) that the engine takes by itself on this device."""
        name = product.lower()
        for least, tokens, sequences, excluded in self.batch_defaults:
            if memory_bytes >= least * GIB and not (excluded and excluded in name):
                return tokens, sequences
        return 2048, 256

    def non_torch_bytes(self, tensor: int, pipeline: int, switched: bool) -> int:
        """Device memory outside of torch: context, collectives, libraries."""
        if tensor == 1 and pipeline > 1:
            return self.pipeline_non_torch
        chosen = self.non_torch[0]
        for row in self.non_torch:
            if row[0] <= tensor:
                chosen = row
        return chosen[1] if switched else chosen[2]

    def expert_padding(self, compute: tuple[int, int] | None, vendor: Vendor) -> ExpertPadding:
        """What the kernels chosen for a device pad MXFP4 experts to (vLLM 0.32.0, fused_moe/oracle/mxfp4.py)."""
        if vendor is Vendor.AMD:
            return ExpertPadding(256, 256)
        if self.hopper_experts and compute == (9, 0):
            return ExpertPadding(256, 64, scales=False)
        return ExpertPadding(256, 128)


def version_key(version: str) -> tuple[int, int] | None:
    """(major, minor) of a version text; None when it has none."""
    found = re.match(r"^\s*v?(\d{1,4})\.(\d{1,4})", version)
    return (int(found.group(1)), int(found.group(2))) if found else None


@lru_cache(maxsize=256)
def version_facts(engine: EngineName, version: str | None) -> VersionFacts:
    """The facts of a version: all rows up to it, later ones over earlier ones."""
    table = engine_facts(engine.value)
    default = version_key(str(table["default_version"])) or (0, 0)
    key = version_key(version or "")
    merged: dict[str, Any] = {}
    for index, row in enumerate(table["rows"]):
        since = version_key(row["since"]) or (0, 0)
        if index == 0 or since <= (key or default):
            merged.update(row)
    merged["batch_defaults"] = tuple(tuple(row) for row in merged["batch_defaults"])
    merged["non_torch"] = tuple(sorted((int(k), *v) for k, v in merged["non_torch"].items()))
    merged["graph_bytes"] = table["graph_bytes_per_layer_and_size"]
    merged["known"] = key is not None
    return VersionFacts(**{f.name: merged[f.name] for f in fields(VersionFacts)})
