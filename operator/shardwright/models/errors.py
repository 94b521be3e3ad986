"""The one way in which reading a model can fail. Knows nothing else."""

from shardwright.api.reasons import Reason


class UnreadableModel(Exception):  # noqa: N818  # a statement about the model, not a program error
    """The model's facts cannot be used; `message` says what was wrong and what to do."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
