"""Which quantisation counts: the checkpoint's own, the one asked for, or what the model's id says."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from shardwright.models.formats import MXFP4, NVFP4, WeightFormat, format_from_id, format_from_word, is_container
from shardwright.models.quantization import Rules, read_rules, rules_for_word
from shardwright.models.reader import ConfigReader


@dataclass(frozen=True, slots=True)
class Wish:
    """What is known of the storage besides the config itself."""

    model_id: str
    word: str | None
    """What to run as; None = as the checkpoint is."""
    quant_config: Mapping[str, Any] | None
    """ModelOpt's extra file."""
    own: bool
    """Whether the config's own quantisation is this model's."""


def choose_rules(reader: ConfigReader, outer: ConfigReader, wish: Wish) -> Rules:
    """The rules in force. Raises `UnreadableModel` for a word that names no storage."""
    rules = agreed_rules(reader, outer, wish)
    if reader.text("expert_dtype") == "fp4" and rules.default is not None and not rules.included:
        rules.included[None] = [(is_expert, MXFP4)]
    return without_list(reader, rules) if wish.own and not wish.word else rules


def without_list(reader: ConfigReader, rules: Rules) -> Rules:
    """Where the list of what was left in 16 bits is missing, 4-bit floats are taken for the routed experts alone.

    Exporters leave attention, recurrent layers and shared experts of mixtures alone; to take them as quantised too
    would count too few bytes, and a forecast that is too small kills pods.
    """
    listed = bool(rules.excluded or rules.included)
    if listed or rules.default != NVFP4 or reader.given("num_experts") < 2:
        return rules
    reader.assume("only routed experts are taken as nvfp4: the checkpoint's list of unquantised modules is missing")
    rules.default = replace(NVFP4, experts_only=True)
    return rules


def is_expert(name: str) -> bool:
    """Whether a matrix belongs to routed experts."""
    return ".experts." in name


def agreed_rules(reader: ConfigReader, outer: ConfigReader, wish: Wish) -> Rules:
    """The checkpoint's own rules where they agree with the word, else the word's, else what the id says."""
    checkpoint = checkpoint_rules(reader, outer, wish) if wish.own else None
    if not wish.word or is_container(wish.word):
        return checkpoint or unspoken(reader, wish)
    asked = format_from_word(wish.word)
    if checkpoint is not None and agrees(checkpoint, asked):
        return checkpoint
    rules = rules_for_word(wish.word, asked)
    if not wish.own and asked == NVFP4:  # its checkpoints' makers export a scheme for the cache too
        reader.assume("the KV cache is fp8: NVFP4 checkpoints usually ask for it, this one's own config is not known")
        rules.kv_cache_dtype = "fp8"
    return rules


def checkpoint_rules(reader: ConfigReader, outer: ConfigReader, wish: Wish) -> Rules | None:
    """The rules of the config, else of ModelOpt's file; None where neither quantises anything."""
    stated = outer.mapping("quantization_config") or reader.mapping("quantization_config")
    for source in (stated, wish.quant_config or {}):
        rules = read_rules(source) if source else None
        if rules is not None and (rules.default or rules.included):
            return rules
    return None


def unspoken(reader: ConfigReader, wish: Wish) -> Rules:
    """Nothing, or only a file format, was said."""
    if not wish.word and wish.own:
        return Rules()
    boasted = format_from_id(wish.model_id)
    if boasted is not None:
        reader.assume(f"weights are {boasted.name}: taken from the model's id, its config does not say")
        return rules_for_word(boasted.name, boasted)
    if not wish.word:
        return Rules()
    reader.assume(f"weights are fp8: {wish.word!r} names a file format and neither config nor id says the bits")
    return rules_for_word("fp8", format_from_word("fp8"))


def agrees(rules: Rules, asked: WeightFormat | None) -> bool:
    """Whether a checkpoint's rules are of as many bits as asked: then its own, more exact list counts."""
    formats = [rules.default, *(stored for rows in rules.included.values() for _, stored in rows)]
    return asked is not None and any(stored is not None and stored.bits == asked.bits for stored in formats)
