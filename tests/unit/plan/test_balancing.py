"""Which way of balancing data-parallel ranks fits a layout, alone and beside the other layouts of a plan."""

import pytest

from shardwright.api.spec import EngineName
from shardwright.plan.balancing import Balancing, balancing, every_pod_serves, ranks_per_pod
from shardwright.plan.types import Layout

HYBRID = Layout(tensor=2, data=8, expert=True, nodes_per_replica=2)
STAGES = Layout(tensor=4, pipeline=2, nodes_per_replica=2)


@pytest.mark.parametrize(
    ("layout", "ranks", "chosen"),
    [
        (Layout(), 1, Balancing.NONE),
        (STAGES, 0, Balancing.NONE),
        (Layout(data=8, expert=True), 8, Balancing.INTERNAL),
        (HYBRID, 4, Balancing.HYBRID),
        (Layout(data=32, nodes_per_replica=4), 8, Balancing.HYBRID),
        (Layout(tensor=8, data=2, nodes_per_replica=2), 1, Balancing.INTERNAL),
        (Layout(tensor=16, data=2, nodes_per_replica=4), 0, Balancing.INTERNAL),
    ],
    ids=str,
)
def test_what_fits_a_layout(layout, ranks, chosen):
    assert ranks_per_pod(layout) == ranks
    assert balancing(EngineName.VLLM, layout, ()) is chosen


def test_trtllm_balances_behind_its_one_front_end():
    assert balancing(EngineName.TRTLLM, Layout(data=16, nodes_per_replica=2), ()) is Balancing.NONE
    assert not every_pod_serves(EngineName.TRTLLM, [Layout(data=16, nodes_per_replica=2)])


def test_beside_replicas_whose_followers_have_no_api_there_is_no_hybrid():
    assert balancing(EngineName.VLLM, HYBRID, (STAGES,)) is Balancing.INTERNAL
    assert balancing(EngineName.VLLM, HYBRID, (Layout(tensor=4),)) is Balancing.HYBRID
