"""What stands around the layers: embeddings, the output head, tables of rotary positions."""

import re

from shardwright.models.attention import Heads, is_latent
from shardwright.models.family import Family
from shardwright.models.layers import stored
from shardwright.models.profile import Matrix, Part, Split
from shardwright.models.quantization import Rules
from shardwright.models.reader import ConfigReader, text_of
from shardwright.models.schedule import Slot

LONGEST_TABLE = 1 << 24
LONGEST = 1 << 40


def embedding(reader: ConfigReader, family: Family) -> tuple[Matrix, ...]:
    """Token (and learned position) embeddings."""
    width = reader.stated("word_embed_proj_dim") or reader.positive("hidden_size")
    rows = [outer("embed_tokens", Part.EMBEDDING, reader.positive("vocab_size"), width, Split.VOCABULARY)]
    narrow = reader.integer("hidden_size_per_layer_input", 0)
    if narrow:
        rows += per_layer_embedding(reader, narrow)
    if family.flag("positions"):
        length = reader.integer("max_position_embeddings", 2048)
        rows.append(outer("embed_positions", Part.EMBEDDING, length, width, Split.WHOLE))
    return tuple(rows)


def per_layer_embedding(reader: ConfigReader, narrow: int) -> list[Matrix]:
    """Gemma 3n, Gemma 4: one narrow embedding per layer of a token, and a projection of the usual one beside it."""
    wide = narrow * reader.positive("num_hidden_layers")
    rows = reader.integer("vocab_size_per_layer_input", reader.positive("vocab_size"))
    return [
        outer("embed_tokens_per_layer", Part.EMBEDDING, rows, wide, Split.VOCABULARY),
        outer("per_layer_model_projection", Part.EMBEDDING, wide, reader.positive("hidden_size"), Split.TENSOR),
    ]


def outer(name: str, part: Part, rows: int, columns: int, split: Split) -> Matrix:
    """A matrix that no quantisation method touches."""
    return Matrix(name, part, rows, columns, split, quantizable=False)


POOLS = re.compile(r"For(Sequence|Token)Classification$|RewardModel$")
"""Classes that give scores, and load no output head over the vocabulary."""


def head(reader: ConfigReader, rules: Rules, tied: bool, family: Family) -> tuple[Matrix, ...]:
    """Final norm and, unless tied, the output head, which only a list of names can quantise."""
    hidden = reader.positive("hidden_size")
    norm = outer("norm", Part.NORM, hidden, 1, Split.WHOLE)
    if tied:
        return (norm,)
    bias = family.flag("head_bias")
    row = Matrix("lm_head", Part.HEAD, reader.positive("vocab_size"), hidden, Split.VOCABULARY, bias=bias)
    return (norm, stored(row, None, rules) if rules.included else row)


def is_tied(reader: ConfigReader, around: ConfigReader, family: Family) -> bool:
    """Whether input and output embeddings are one: as stated inside, else outside, else by class, else by family."""
    if reader.raw("tie_word_embeddings") is None and around.raw("tie_word_embeddings") is not None:
        return around.flag("tie_word_embeddings")
    return reader.flag("tie_word_embeddings", around.flag("tie_word_embeddings", family.flag("tied")))


def context_length(reader: ConfigReader) -> int:
    """The model's own longest context: its positions, or what YaRN stretches them to."""
    length = reader.integer("max_position_embeddings", 2048)
    scaling = reader.mapping("rope_scaling") or reader.mapping("rope_parameters")
    kind, factor = text_of(scaling.get("rope_type")) or text_of(scaling.get("type")), scaling.get("factor")
    original = scaling.get("original_max_position_embeddings")
    if kind == "yarn" and isinstance(factor, int | float) and isinstance(original, int) and 1 <= factor <= 4096:
        return max(1, min(int(original * factor), LONGEST))
    return max(1, length)


def rope_bytes(reader: ConfigReader, slots: list[Slot], heads: Heads) -> int:
    """Cosines and sines by position: one table per kind of attention with a rotary base of its own."""
    kinds = {slot.attention for slot in slots} - {"none", "linear", "cross"}
    two_bases = reader.raw("rope_local_base_freq") or reader.model_type.startswith(("gemma3", "gemma4"))
    tables = len(kinds) if two_bases else min(1, len(kinds))
    width = 4 if is_latent(reader) else 2
    return tables * min(context_length(reader), LONGEST_TABLE) * rotary_size(reader, heads) * width


def rotary_size(reader: ConfigReader, heads: Heads) -> int:
    """Elements of a head that are rotated."""
    if reader.stated("rotary_dim"):
        return reader.stated("rotary_dim")
    if is_latent(reader):
        return reader.integer("qk_rope_head_dim", 64)
    factor = reader.raw("partial_rotary_factor") or reader.mapping("rope_parameters").get("partial_rotary_factor")
    return int(heads.key_dim * factor) if isinstance(factor, int | float) and 0 < factor < 1 else heads.key_dim
