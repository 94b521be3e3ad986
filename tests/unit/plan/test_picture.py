"""Pictures are well-formed, hold every figure of the plan, and are the same bytes every time."""

from xml.etree import ElementTree

from shardwright.plan.choose import choose
from shardwright.plan.picture import svg
from support.planning import dense, dense_70b, inventory, pool, request


def texts(picture: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(picture).iter() if element.tag.endswith("text")]


def test_a_replica_over_two_nodes_shows_its_ranks_and_nodes():
    big = dense(layers=126, hidden=16384, heads=128, inner=53248)
    fleet = inventory(pool(nodes=2))
    plan = choose(request(big), fleet)
    picture = svg(plan, fleet, title="llama <405b> & co")
    shown = texts(picture)
    assert "llama <405b> & co: " + plan.why in shown
    assert {"ranks 0 to 7", "ranks 8 to 15", "h100-sxm-8-1", "h100-sxm-8-2"} <= set(shown)
    assert shown.count("r0") == 16
    assert shown.count("t7") == 2
    assert picture == svg(choose(request(big), fleet), fleet, title="llama <405b> & co")


def test_many_nodes_are_cut_short_and_free_gpus_stay_white():
    fleet = inventory(pool("a10-1", "A10", nodes=20, gpus=1))
    assert any("8 more nodes alike" in text for text in texts(svg(choose(request(replicas=20), fleet), fleet)))
    half = inventory(pool())
    assert svg(choose(request(dense_70b()), half), half).count('fill="#ffffff" stroke="#bbbbbb"') > 0


def test_a_plan_without_placements_still_draws_its_reason():
    fleet = inventory(pool(free=1))
    plan = choose(request(dense_70b()), fleet)
    assert plan.nearest in texts(svg(plan, fleet))
