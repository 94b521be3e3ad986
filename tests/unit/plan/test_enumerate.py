"""Every cut a pool could hold, each once; products equal GPUs; pins keep only what agrees."""

from shardwright.plan.enumerate import layouts
from shardwright.plan.types import Layout, LayoutPins


def test_single_node_dense_cuts_are_all_pairs_of_tensor_and_pipeline():
    found = layouts(4, 1, LayoutPins(), mixture_of_experts=False)
    assert set(found) == {
        Layout(1), Layout(2), Layout(1, 2), Layout(3), Layout(1, 3), Layout(4), Layout(2, 2), Layout(1, 4),
    }  # fmt: skip


def test_cuts_come_once_and_whole():
    found = layouts(8, 4, LayoutPins(), mixture_of_experts=True)
    assert len(found) == len(set(found))
    for cut in found:
        assert cut.gpus_per_pod * cut.nodes_per_replica == cut.gpus_per_replica
        assert 1 <= cut.gpus_per_pod <= 8


def test_no_tensor_group_begins_in_one_pod_and_ends_in_another():
    assert all(
        cut.gpus_per_pod % cut.tensor == 0 or cut.tensor % cut.gpus_per_pod == 0
        for cut in layouts(8, 8, LayoutPins(), mixture_of_experts=False)
    )


def test_dense_models_have_no_data_or_experts_inside_a_replica():
    assert all(cut.data == 1 and not cut.expert for cut in layouts(8, 2, LayoutPins(), mixture_of_experts=False))


def test_pins_leave_only_what_agrees():
    found = layouts(8, 2, LayoutPins(tensor=4, pipeline=2), mixture_of_experts=False)
    assert set(found) == {Layout(4, 2), Layout(4, 2, nodes_per_replica=2)}
    assert layouts(4, 1, LayoutPins(tensor=8), mixture_of_experts=False) == ()


def test_a_pinned_number_of_nodes_is_taken_even_beyond_the_usual_most():
    found = layouts(1, 20, LayoutPins(nodes_per_replica=20), mixture_of_experts=False)
    assert Layout(1, 20, nodes_per_replica=20) in found


def test_stages_and_data_ranks_come_together_only_where_both_are_pinned():
    free = layouts(8, 2, LayoutPins(), mixture_of_experts=True)
    assert not [cut for cut in free if cut.pipeline > 1 and cut.data > 1]
    assert not [cut for cut in layouts(8, 2, LayoutPins(data=2), mixture_of_experts=True) if cut.pipeline > 1]
    pinned = layouts(8, 1, LayoutPins(pipeline=2, data=2), mixture_of_experts=True)
    assert Layout(2, 2, 2) in pinned
