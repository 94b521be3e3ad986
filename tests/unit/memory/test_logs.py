"""The forecast against start-up logs of engines and published deployments: the figures reached must hold."""

import time

import pytest

from shardwright.commands.estimate_requests import answer
from support import memory_scores

REACHED = {
    "kv_tokens_of_given_memory": (0.001, 0.95, 0.01),
    "weights": (0.001, 0.95, 0.03),
    "kv_memory": (0.01, 0.90, 0.04),
    "activation": (0.02, 0.95, 0.07),
}
"""Figure: (median error, a quantile, error there)."""


@pytest.fixture(scope="module")
def reached() -> memory_scores.Score:
    return memory_scores.score(memory_scores.records())


@pytest.mark.parametrize("figure", REACHED)
def test_figures_hold(reached, figure):
    median, share, at_quantile = REACHED[figure]
    assert reached.median(figure) <= median
    assert reached.quantile(figure, share) <= at_quantile


def test_no_log_says_it_failed_where_the_forecast_says_fits(reached):
    assert reached.false_fits == []


def test_few_logs_say_it_ran_where_the_forecast_refuses(reached):
    assert len(reached.false_refusals) <= 0.03 * reached.judged, reached.false_refusals


def test_published_layouts_are_accepted_and_hopeless_gpus_refused():
    asked = memory_scores.layouts()
    refused = [q["id"] for q in asked if answer(q).get("fits") is not True]
    accepted = [q["id"] for q in asked if answer(memory_scores.hopeless(q)).get("fits") is not False]
    assert len(refused) <= 0.01 * len(asked), refused
    assert accepted == []


def test_four_hundred_requests_in_five_seconds():
    asked = [memory_scores.request(record) for record in memory_scores.records()]
    started = time.process_time()
    for number in range(400):
        answer(asked[number % len(asked)])
    assert time.process_time() - started < 5
