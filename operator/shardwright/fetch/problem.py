"""The one way in which fetching fails. Knows no connection."""

from shardwright.api.reasons import Reason


class FetchProblem(Exception):  # noqa: N818  # a statement about the model or its hub
    """A model's facts cannot be had; `message` says what was wrong and what to do, the same at each attempt."""

    def __init__(self, reason: Reason, message: str, retry_after_seconds: float | None = None) -> None:
        """`retry_after_seconds` is what the hub itself asked for."""
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_after_seconds = retry_after_seconds
