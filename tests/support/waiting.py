"""Waiting for a cluster without sleeping longer than needed; knows nothing of what is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(probe: Callable[[], T], *, within_seconds: float = 30, what: str = "", every_seconds: float = 0.2) -> T:
    """Return the first truthy answer of probe. AssertionErrors in it count as "not yet"; the last one is shown."""
    deadline = time.monotonic() + within_seconds
    while True:
        failure: BaseException | None = None
        try:
            answer = probe()
            if answer:
                return answer
        except AssertionError as error:
            failure = error
        if time.monotonic() > deadline:
            raise AssertionError(
                f"not within {within_seconds:g} s: {what or probe}; last: {failure or answer!r}"
            ) from failure
        time.sleep(every_seconds)


def steadily(probe: Callable[[], object], *, for_seconds: float, what: str = "", every_seconds: float = 0.5) -> None:
    """Assert that probe stays truthy for that long."""
    deadline = time.monotonic() + for_seconds
    while time.monotonic() < deadline:
        assert probe(), f"did not hold for {for_seconds:g} s: {what or probe}"
        time.sleep(every_seconds)
