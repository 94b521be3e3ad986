"""Every dump of the collection gives its expected islands or its expected refusal."""

import json
from pathlib import Path
from typing import Any

import pytest

from shardwright.topology import UnreadableTopologyError, read_topology

DATA = Path(__file__).parents[2] / "data" / "topology"
ROWS = [
    json.loads(line)
    for kind in ("topo", "rocm-topo")
    for line in (DATA / kind / "index.jsonl").read_text().splitlines()
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: Path(row["file"]).stem)
def test_islands_or_refusal(row: dict[str, Any]) -> None:
    mode, expected = row.get("parse_expectation"), row.get("expected_islands")
    try:
        found = read_topology((DATA / row["file"]).read_text())
    except UnreadableTopologyError as error:
        assert mode in ("refuse", "truncated") or expected is None
        assert str(error)
        return
    assert mode != "refuse"
    if expected is None:
        return
    assert [list(island) for island in found.islands] == sorted(expected)
    if "expected_tier" in row:
        assert found.link == row["expected_tier"]
    assert found.gpus == row.get("gpu_count", found.gpus)
