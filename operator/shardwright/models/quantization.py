"""What a checkpoint's quantisation config says of each matrix: method, bits, and which parts were left alone.

Reads the dialects of fp8, GPTQ, AWQ, compressed-tensors, ModelOpt, MXFP4, bitsandbytes and Quark. Knows no engine.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shardwright.models.errors import UnreadableModel
from shardwright.models.formats import (
    BNB4,
    FP8,
    FP8_BLOCK,
    FP8_CHANNEL,
    INT4,
    INT4_ZERO,
    INT8,
    MXFP4,
    MXFP8,
    NVFP4,
    WeightFormat,
    format_from_word,
    plain,
)  # fmt: skip
from shardwright.models.module_names import Matcher, expression, localized, matcher
from shardwright.models.reader import text_of

ALGORITHMS: Mapping[str, WeightFormat] = {
    "fp8": FP8, "nvfp4": NVFP4, "w4a16nvfp4": NVFP4, "w4a8nvfp4fp8": NVFP4, "nvfp4awq": NVFP4, "mxfp4": MXFP4,
    "mxfp8": MXFP8, "fp8pcpt": FP8_CHANNEL, "fp8perchannelpertoken": FP8_CHANNEL, "fp8pbwo": FP8_BLOCK,
    "w4a16awq": INT4_ZERO, "w4a8awq": INT4_ZERO,
    "int8sq": INT8, "w8a8sqperchannel": INT8, "w4a16": INT4, "w8a16": INT8,
}  # fmt: skip


@dataclass
class Rules:
    """Which format each named matrix has: names that were named first, then names left out, then the default."""

    default: WeightFormat | None = None
    word: str | None = None
    included: dict[int | None, list[tuple[Matcher, WeightFormat | None]]] = field(default_factory=dict)
    excluded: dict[int | None, list[Matcher]] = field(default_factory=dict)
    kv_cache_dtype: str | None = None

    def format_of(self, layer: int | None, name: str) -> WeightFormat | None:
        """The format of a matrix in a layer (None = outside the layers)."""
        for key in (layer, None) if layer is not None else (None,):
            for matches, stored in self.included.get(key, ()):
                if matches(name):
                    return stored
            if any(matches(name) for matches in self.excluded.get(key, ())):
                return None
        if self.default is not None and self.default.experts_only and ".experts." not in name:
            return None
        return self.default

    def signature(self, layer: int) -> bool:
        """Whether the layer has rules of its own."""
        return layer in self.included or layer in self.excluded


def add_excluded(rules: Rules, patterns: Sequence[Any]) -> None:
    """Names that the method left in the model's dtype."""
    for pattern in patterns:
        text = text_of(pattern)
        if text.startswith("re:"):
            add_expression(rules, text[3:])
        elif text:
            layer, name = localized(text)
            rules.excluded.setdefault(layer, []).append(matcher(name))


def add_expression(rules: Rules, pattern: str) -> None:
    """A regular expression; one that names layer numbers is asked with each number it could mean."""
    numbers = re.search(r"layers(?:\\?\.)\(?((?:\d+\|?)+)\)?(?:\\?\.)(.*)$", pattern)
    if not numbers:
        rules.excluded.setdefault(None, []).append(expression(pattern))
        return
    try:
        inner = re.compile(numbers.group(2))
    except (re.error, RecursionError):
        return
    for number in numbers.group(1).split("|"):
        if number:
            rules.excluded.setdefault(int(number), []).append(pattern_test(inner))


def pattern_test(pattern: re.Pattern[str]) -> Matcher:
    """A compiled expression as a test of names."""
    return lambda name: bool(pattern.match(name))


def add_included(rules: Rules, name: str, stored: WeightFormat | None) -> None:
    """A module that is listed with its own format."""
    layer, below = localized(name)
    rules.included.setdefault(layer, []).append((matcher(below), stored))


def read_rules(config: Mapping[str, Any]) -> Rules:
    """The rules of a `quantization_config` or a ModelOpt `hf_quant_config.json`. Raises `UnreadableModel`."""
    inner = config.get("quantization")
    if isinstance(inner, Mapping):
        config = {**config, **inner}
    method = plain(text_of(config.get("quant_method")) or ("modelopt" if config.get("quant_algo") else ""))
    rules = Rules(word=text_of(config.get("quant_method")) or text_of(config.get("quant_algo")) or method)
    groups = config.get("config_groups")
    if isinstance(groups, Mapping) and groups and method != "fp8":
        read_groups(rules, groups)
    elif text_of(config.get("quant_algo")):
        rules.default = ALGORITHMS.get(plain(str(config["quant_algo"])))
    else:
        rules.default = simple_method(method, config)
    for name, entry in mapping_items(config.get("quantized_layers")):
        algorithm = text_of(entry.get("quant_algo")) if isinstance(entry, Mapping) else ""
        add_included(rules, name, ALGORITHMS.get(plain(algorithm), rules.default))
    layered = method == "fp8" and bool(config.get("moe_quant_algo"))  # `ignore` then speaks of the experts' method only
    for key in (
        "modules_to_not_convert",
        "" if layered else "ignore",
        "exclude_modules",
        "ignored_layers",
        "exclude",
        "llm_int8_skip_modules",
    ):
        value = config.get(key)
        if isinstance(value, list):
            add_excluded(rules, value)
    if text_of(config.get("kv_cache_quant_algo")) or config.get("kv_cache_scheme"):
        rules.kv_cache_dtype = "fp8"
    return rules


def mapping_items(value: object) -> list[tuple[str, Any]]:
    """Items of a mapping with text keys; nothing of anything else."""
    return [(k, v) for k, v in value.items() if isinstance(k, str)] if isinstance(value, Mapping) else []


def read_groups(rules: Rules, groups: Mapping[str, Any]) -> None:
    """Config groups of compressed-tensors: one for all linear layers, or one per list of names."""
    for _, group in mapping_items(groups):
        weights = group.get("weights") if isinstance(group, Mapping) else None
        if not isinstance(weights, Mapping):
            continue
        stored = group_format(weights)
        targets = [text_of(t) for t in group.get("targets") or ("Linear",) if text_of(t)]
        for target in targets:
            if "." not in target and not target.startswith("re:"):
                rules.default = stored
            elif target.startswith("re:"):
                rules.included.setdefault(None, []).append((expression(target[3:]), stored))
            else:
                add_included(rules, target, stored)


def group_format(weights: Mapping[str, Any]) -> WeightFormat | None:
    """The format of one group's weights."""
    bits, kind, size = weights.get("num_bits"), text_of(weights.get("type")), weights.get("group_size")
    size = size if isinstance(size, int) and size > 0 else 0
    if bits == 4 and kind == "float":
        return NVFP4 if size == 16 else replace(MXFP4, group_size=size or 32)
    if bits == 8 and kind == "float":
        plain_format = MXFP8 if size == 32 else FP8_CHANNEL if weights.get("strategy") == "channel" else FP8
        return block_format(weights.get("block_structure")) or plain_format
    if bits == 8:
        return INT8
    if isinstance(bits, int) and 1 <= bits < 8:
        zero = 0 if weights.get("symmetric", True) else bits
        return WeightFormat(
            f"int{bits}", bits, group_size=size, scale_bits=16, zero_point_bits=zero, per_output=not size
        )
    return None


def simple_method(method: str, config: Mapping[str, Any]) -> WeightFormat | None:
    """The methods that have one format for everything."""
    if method in ("fp8", "fbgemmfp8"):
        return block_format(config.get("weight_block_size")) or (FP8_CHANNEL if method == "fbgemmfp8" else FP8)
    if method == "mxfp4":
        return replace(MXFP4, experts_only=True)
    if method in ("bitsandbytes", "bnb"):
        return INT8 if config.get("load_in_8bit") else BNB4
    return grouped_format(method, config) or named_format(method)


def block_format(block: object) -> WeightFormat | None:
    """FP8 in two-dimensional blocks; None where no sound block is stated."""
    if isinstance(block, list) and len(block) == 2 and all(isinstance(side, int) and side > 0 for side in block):
        return replace(FP8_BLOCK, block_rows=block[0], block_columns=block[1])
    return None


def grouped_format(method: str, config: Mapping[str, Any]) -> WeightFormat | None:
    """GPTQ, AWQ and their kin, which state bits and a group size; None where no sound number of bits is stated."""
    bits = config.get("bits") or config.get("w_bit") or config.get("wbits")
    size = config.get("group_size") or config.get("q_group_size")
    if not isinstance(bits, int) or not 1 <= bits <= 8:
        return None
    size = size if isinstance(size, int) and size > 0 else 0
    if bits == 8 and not size:
        return INT8
    zero = bits if config.get("zero_point") or method == "awq" or config.get("sym") is False else 0
    return WeightFormat(f"int{bits}", bits, size, scale_bits=16, zero_point_bits=zero, per_output=not size)


def named_format(method: str) -> WeightFormat | None:
    """What the method's name says; None for a name that says nothing."""
    try:
        return format_from_word(method) if method else None
    except UnreadableModel:
        return None


def rules_for_word(word: str, stored: WeightFormat | None) -> Rules:
    """The rules of a method's usual recipe: all linear layers except the output head, routers and embeddings."""
    rules = Rules(default=stored, word=None if stored is None else word)
    rules.excluded[None] = [matcher("lm_head"), matcher("gate"), matcher("embed_tokens")]
    return rules
