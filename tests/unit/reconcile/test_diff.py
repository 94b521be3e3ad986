"""What counts as a difference between a wanted and a live object, and what the API server may change."""

from __future__ import annotations

from typing import Any

import pytest

from shardwright.reconcile.diff import differences

SAME: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("defaults are the server's", {"a": {"b": 1}}, {"a": {"b": 1, "c": 2}, "status": {}}),
    (
        "quantities are numbers",
        {"limits": {"cpu": "0.5", "memory": "1Gi"}},
        {"limits": {"cpu": "500m", "memory": "1024Mi"}},
    ),
    ("a number may be a text", {"limits": {"nvidia.com/gpu": 8}}, {"limits": {"nvidia.com/gpu": "8"}}),
    (
        "containers are matched by name",
        {"containers": [{"name": "b"}]},
        {"containers": [{"name": "a"}, {"name": "b", "x": 1}]},
    ),
    (
        "ports by number and protocol",
        {"ports": [{"port": 80}]},
        {"ports": [{"port": 80, "protocol": "TCP", "nodePort": 3}]},
    ),
    ("what is empty may be absent", {"a": {}, "b": [], "c": None, "d": ""}, {}),
    ("false may be absent", {"a": {"on": False}}, {"a": {}}),
    ("an item of a plain list may carry more", {"metrics": [{"type": "x"}]}, {"metrics": [{"type": "x", "more": 1}]}),
]
OTHER: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("a leaf", {"a": {"b": 1}}, {"a": {"b": 2}}, ".a.b=2"),
    ("a missing leaf", {"a": {"b": 1}}, {"a": {}}, ".a.b=None"),
    ("a missing map", {"a": {"b": 1}}, {}, ".a=None"),
    ("a quantity", {"requests": {"cpu": "1"}}, {"requests": {"cpu": "1100m"}}, ".requests.cpu='1100m'"),
    ("a missing item", {"env": [{"name": "X"}]}, {"env": []}, ".env[('X',)]=None"),
    ("the order of a plain list", {"args": ["a", "b"]}, {"args": ["b", "a"]}, ".args[0]='b'"),
    ("the length of a plain list", {"args": ["a"]}, {"args": ["a", "b"]}, ".args=['a', 'b']"),
    ("text for a number", {"port": 8000}, {"port": "8000"}, ".port='8000'"),
    ("true for false", {"on": True}, {"on": False}, ".on=False"),
]


@pytest.mark.parametrize(("wanted", "live"), [pytest.param(w, v, id=name) for name, w, v in SAME])
def test_is_the_same(wanted: dict[str, Any], live: dict[str, Any]) -> None:
    assert differences(wanted, live) == ()


@pytest.mark.parametrize(("wanted", "live", "said"), [pytest.param(w, v, s, id=name) for name, w, v, s in OTHER])
def test_differs_and_says_where(wanted: dict[str, Any], live: dict[str, Any], said: str) -> None:
    assert said in differences(wanted, live)
