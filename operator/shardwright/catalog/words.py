"""What a GPU is called: labels, driver names and marketing words become a few comparable tokens.

Knows spellings only, never a product.
"""

import re
from dataclasses import dataclass

NOISE = frozenset({
    "nvidia", "amd", "intel", "tesla", "geforce", "instinct", "radeon", "gpu", "gpus", "accelerator", "generation",
    "edition", "series", "graphics", "blackwell", "hgx", "dgx", "mega", "card", "tensor", "core", "data", "center",
    "vf", "ac", "mba",
})  # fmt: skip
FORMS = {
    "sxm": "sxm", "sxm2": "sxm", "sxm3": "sxm3", "sxm4": "sxm", "sxm5": "sxm", "sxm6": "sxm",
    "hbm3": "sxm", "hbm3e": "sxm",
    "pcie": "pcie", "nvl": "nvl", "oam": "oam", "superchip": "superchip", "nvl72": "superchip", "laptop": "laptop",
    "mobile": "laptop", "server": "server", "workstation": "workstation",
}  # fmt: skip
"""Tokens that tell the members of one family apart, and what they mean."""
STRICT_FORMS = frozenset({"sxm3", "pcie", "nvl", "laptop"})
"""Forms that a product must really have; the others are dropped where a family does not know them."""

_MIG = re.compile(r"-mig-((?:\d+c\.)?\d+g\.\d+gb(?:[.+][a-z.+]+)?)$", re.IGNORECASE)
_MEMORY = re.compile(r"^(\d+)(?:gb|g|gib)$")
_GLUED = re.compile(r"^(rtx|gtx|rx)(?=[a-z0-9])")


@dataclass(frozen=True, slots=True)
class GpuWords:
    """A spelling, taken apart."""

    key: str
    """All tokens but the noise, joined by dashes."""
    family: str
    """What is left without form and memory."""
    form: str = ""
    memory_gib: int = 0
    """0 = not said."""
    mig_profile: str | None = None
    shared: bool = False


def read_words(text: str) -> GpuWords:
    """Take a label value, a driver's name or a user's word apart; any text has an answer."""
    text, mig_profile, shared = _strip_suffixes(text[:256].strip())
    tokens = _tokens(text)
    family: list[str] = []
    form, memory = "", 0
    for token in tokens:
        if found := _MEMORY.match(token):
            memory = memory or int(found[1])
        elif token in FORMS:
            form = form or FORMS[token]
        else:
            family.append(token)
    return GpuWords("-".join(tokens), "-".join(family), form, memory, mig_profile, shared)


def _strip_suffixes(text: str) -> tuple[str, str | None, bool]:
    """Cut `-SHARED` and `-MIG-...`, in whichever order they were added."""
    mig_profile, shared = None, False
    for _ in range(2):
        if text.lower().endswith("-shared"):
            text, shared = text[: -len("-shared")], True
        if found := _MIG.search(text):
            text, mig_profile = text[: found.start()], found[1].lower()
    return text, mig_profile, shared


def _tokens(text: str) -> list[str]:
    """Lower-case words without noise; what stands in parentheses is a remark."""
    bare = re.sub(r"\([^)]*\)", " ", text.lower())
    tokens: list[str] = []
    for token in re.split(r"[^a-z0-9]+", bare):
        glued = _GLUED.match(token)
        tokens.extend([glued[1], token[glued.end() :]] if glued else [token])
    return [token for token in tokens if token and token not in NOISE]
