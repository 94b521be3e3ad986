"""Fixtures of the control-plane ring: a cluster for the session, empty again after each test, and operators in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.cluster import ControlPlane, control_plane_cluster
from support.operator_process import OperatorProcess
from support.proxy import CountingProxy

SYSTEM = "shardwright-system"
StartOperator = Callable[..., OperatorProcess]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.control_plane)


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """The session's control plane. Tests that change nodes or objects take `cluster`, which tidies up."""
    with control_plane_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The control plane, empty again when the test is over."""
    yield control_plane
    control_plane.clean()


@pytest.fixture
def namespace(cluster: ControlPlane) -> str:
    """A namespace of the test's own."""
    return cluster.make_namespace()


@pytest.fixture(scope="session")
def operator_account(control_plane: ControlPlane) -> str:
    """The operator's ServiceAccount with the RBAC of the chart, and the CRDs; its name (namespace SYSTEM)."""
    return control_plane.install(SYSTEM)


@pytest.fixture
def proxy(control_plane: ControlPlane) -> Iterator[CountingProxy]:
    """A counting proxy before the API server."""
    with CountingProxy(control_plane.kubeconfig) as proxy:
        yield proxy


@pytest.fixture
def start_operator(cluster: ControlPlane, operator_account: str, tmp_path: Path) -> Iterator[StartOperator]:
    """start_operator(through=proxy, SHARDWRIGHT_…="…") starts one. It dies with the test; a failure shows its log."""
    started: list[OperatorProcess] = []

    def start(through: CountingProxy | None = None, **environment: str) -> OperatorProcess:
        number = len(started) + 1
        kubeconfig = cluster.kubeconfig_of(
            operator_account,
            SYSTEM,
            tmp_path / f"operator-{number}.kubeconfig",
            through.kubeconfig_cluster if through else None,
        )
        started.append(OperatorProcess(kubeconfig, tmp_path / f"operator-{number}.log", environment))
        return started[-1].start()

    yield start
    for operator in started:
        if operator.running:
            operator.kill()
        print(f"--- the end of {operator.log.name}\n{operator.log_text()[-8000:]}")
