"""Fixtures of the kind ring: one cluster for the session with five "H100" nodes and one "L40S" node."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cluster import Cluster, existing_kind_cluster, kind_cluster
from support.installed import Installed, wait_gone

FLEET = "h100 h100 h100 h100 h100 l40s"
"""Two groups of two nodes, and one node to spare for when one of them dies."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.kind)


@pytest.fixture(scope="session")
def kind() -> Iterator[Cluster]:
    """The session's kind cluster. KEEP_CLUSTER=1 leaves it there; E2E_CLUSTER=NAME takes one that kind-up.sh made."""
    if name := os.environ.get("E2E_CLUSTER"):
        yield existing_kind_cluster(name)
        return
    with kind_cluster(fleet=FLEET) as cluster:
        yield cluster


@pytest.fixture
def namespace(kind: Cluster) -> Iterator[str]:
    """A namespace of the test's own, removed with all that is in it."""
    name = kind.make_namespace()
    yield name
    kind.kubectl.run("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def shardwright(kind: Cluster) -> Installed:
    """The chart, installed once, with the fake engine behind both engines' names."""
    installed = Installed(kind)
    installed.install()
    return installed


@pytest.fixture
def installed(shardwright: Installed) -> Iterator[Installed]:
    """The same, with all GPUs free: what the test before left is gone."""
    before = set(shardwright.namespaces())
    yield shardwright
    wait_gone(shardwright, sorted(set(shardwright.namespaces()) - before))
