"""What the fake engine says, and how it counts tokens. A word is a token; nothing here is a model."""

from dataclasses import dataclass
from typing import Any

FILLER = [
    "and",
    "so",
    "on",
    "it",
    "goes",
    "because",
    "an",
    "engine",
    "without",
    "a",
    "model",
    "has",
    "nothing",
    "to",
    "say",
    "but",
    "keeps",
    "its",
    "pace",
]


@dataclass(frozen=True, slots=True)
class Answer:
    """The words to send and why they end."""

    words: list[str]
    finish_reason: str


def count_tokens(text: str) -> int:
    """Tokens of a text: about four characters each."""
    return max(1, len(text) // 4) if text else 0


def prompt_text(body: dict[str, Any]) -> str:
    """All text of a chat or completion request."""
    if "messages" in body:
        return "\n".join(_text(message.get("content")) for message in body["messages"])
    prompt = body.get("prompt", "")
    return "\n".join(map(str, prompt)) if isinstance(prompt, list) else str(prompt)


def _text(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def asked_tokens(body: dict[str, Any]) -> int | None:
    """The request's own limit."""
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    return int(limit) if limit is not None else None


def answer(who: str, body: dict[str, Any], natural_tokens: int, room_tokens: int) -> Answer:
    """An answer of at most `room_tokens` words that names the engine and repeats the end of the question."""
    limit = min(asked_tokens(body) or room_tokens, room_tokens)
    said = [*who.split(), "heard:", *prompt_text(body).split()[-8:]]
    natural_tokens = max(natural_tokens, len(said))
    wanted = limit if body.get("ignore_eos") else min(limit, natural_tokens)
    words = (said + FILLER * (wanted // len(FILLER) + 1))[:wanted]
    cut = body.get("ignore_eos") or limit < natural_tokens
    return Answer([word + " " for word in words], "length" if cut else "stop")
