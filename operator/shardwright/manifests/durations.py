"""Durations of the spec, `30s`, `5m` or `2h`, as seconds."""

UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600}


def seconds(text: str) -> int:
    """Seconds of a duration that the schema accepted."""
    return int(text[:-1]) * UNIT_SECONDS[text[-1]]
