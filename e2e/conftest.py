"""Fixtures of the kind ring: one cluster for the session with two "H100" nodes and one "L40S" node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cluster import Cluster, kind_cluster


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.kind)


@pytest.fixture(scope="session")
def kind() -> Iterator[Cluster]:
    """The session's kind cluster; KEEP_CLUSTER=1 leaves it for a look around."""
    with kind_cluster() as cluster:
        yield cluster
