"""Between two RFC 3339 texts. Pure; a text that is no time is told apart, never raised on."""

from datetime import UTC, datetime


def moment(text: str) -> datetime | None:
    """Read a time; UTC where it names no zone, None where it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def seconds_between(earlier: str, later: str, otherwise: float) -> float:
    """Seconds from one to the other; `otherwise` where one of them is no time."""
    before, after = moment(earlier), moment(later)
    return (after - before).total_seconds() if before and after else otherwise
