"""Names of modules as quantisation lists spell them, brought to the profile's spelling and turned into tests.

Knows no quantisation method.
"""

import re
from collections.abc import Callable
from fnmatch import translate

Matcher = Callable[[str], bool]
LAYER = re.compile(r"^.*?\blayers\.(\d+)(?:\.(.*)|(\*.*)|)$")
ELSEWHERE = re.compile(r"(?:^|\.)(?:mtp|draft|visual|vision|audio)\w*\.")
"""Towers and draft layers count their own layers: a number there is none of the language model's."""
SPELLINGS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^ffn\.", "mlp."),
        (r"^feed_forward\.", "mlp."),
        (r"^attn\.", "self_attn."),
        (r"^experts(?=\.|\*|$)", "mlp.experts"),
        (r"\.shared_expert(?=\.|\*|$)", ".shared_experts"),
        (r"\.experts\.(?:\d+|\*)\.", ".experts."),
        (r"\.w1(?=\.|$)", ".gate_proj"),
        (r"\.w3(?=\.|$)", ".up_proj"),
        (r"\.w2(?=\.|$)", ".down_proj"),
        (r"\.router(?=\.|\*|$)", ".gate"),
        (r"\.qkv_proj$", ".[qkv]_proj"),
        (r"\.gate_up_proj$", ".*_proj"),
        (r"\.weight$", ""),
    )
)


def localized(pattern: str) -> tuple[int | None, str]:
    """A dotted name or glob as (layer, name below the layer)."""
    found = LAYER.match(pattern)
    if found and ELSEWHERE.search(pattern[: found.start(1)]):
        return None, pattern
    if found:
        return int(found.group(1)), canonical(found.group(2) or "*")
    star = re.match(r"^.*?\blayers\.\*\.(.*)$", pattern)
    return None, canonical(star.group(1) if star else pattern)


def canonical(name: str) -> str:
    """Names as the profile spells them."""
    for pattern, replacement in SPELLINGS:
        name = pattern.sub(replacement, name)
    return name


def matcher(pattern: str) -> Matcher:
    """Whether a pattern covers a name: equal, a parent module, or a glob."""
    if any(c in pattern for c in "*?["):
        regex = re.compile(translate(pattern.removeprefix("*.")))
        parent = re.compile(translate(pattern.removeprefix("*.").rstrip(".") + ".*"))
        return lambda name: bool(regex.match(name) or parent.match(name))
    return lambda name: (
        name == pattern
        or name.startswith(f"{pattern}.")
        or name.endswith(f".{pattern}")
        or f".{pattern}." in f".{name}."
    )


def expression(pattern: str) -> Matcher:
    """A `re:` pattern of compressed-tensors: matched against the name with and without a layer prefix."""
    try:
        regex = re.compile(pattern)
    except (re.error, RecursionError):
        return lambda _name: False
    return lambda name: bool(regex.match(f"model.layers.0.{name}") or regex.match(name))
