"""The planner decides what was reviewed, on fleets and models that people wrote about."""

import pytest

from golden.plan_cases import FOLDER, decision, names


@pytest.mark.parametrize("name", names())
def test_decision_is_as_reviewed(name: str):
    assert decision(name) == (FOLDER / f"{name}.txt").read_text("utf-8"), "run `make golden` and review the difference"
