"""Which layer is what: the attention and feed-forward kind of each, from the many ways in which configs say it."""

from dataclasses import dataclass

from shardwright.models.family import Family
from shardwright.models.reader import ConfigReader

LAYER_WORDS = {
    "full_attention": "full", "attention": "full", "global": "full", "global_attention": "full", "full": "full",
    "sliding_attention": "sliding", "sliding": "sliding", "local": "sliding", "local_attention": "sliding",
    "swa": "sliding", "chunked_attention": "chunked", "linear_attention": "linear", "linear": "linear",
    "mamba": "linear", "mamba2": "linear", "recurrent": "linear", "conv": "linear", "hybrid": "linear",
}  # fmt: skip
PATTERN_LETTERS = {"M": ("linear", "none"), "*": ("full", "none"), "E": ("none", "moe"), "-": ("none", "dense")}
"""Nemotron-H's hybrid_override_pattern: one block per layer."""


@dataclass(frozen=True, slots=True)
class Slot:
    """What one layer consists of."""

    attention: str
    """full, sliding, chunked, linear, cross or none."""
    feedforward: str
    """dense, moe, both or none."""


BLOCK_WORDS = {
    "mamba": ("linear", "none"),
    "attention": ("full", "none"),
    "moe": ("none", "moe"),
    "mlp": ("none", "dense"),
}


def blocks(reader: ConfigReader) -> list[Slot]:
    """Nemotron-H, whose layers are single blocks: by letters, or by words for feed-forward blocks too; else nothing."""
    pattern = reader.text("hybrid_override_pattern")
    if pattern:
        return [Slot(*PATTERN_LETTERS.get(letter, ("full", "dense"))) for letter in pattern]
    words = [str(word) for word in reader.items("layers_block_type")]
    if {"moe", "mlp"} & set(words):
        return [Slot(*BLOCK_WORDS.get(word, ("full", "dense"))) for word in words]
    return []


def schedule(reader: ConfigReader, family: Family, layers: int) -> list[Slot]:
    """One slot per layer."""
    if family.flag("attention_free"):
        return [Slot("linear", "none")] * layers
    single = blocks(reader)
    if single:
        return [single[i % len(single)] for i in range(layers)]
    attention = attention_kinds(reader, family, layers)
    mixture = mixture_layers(reader, layers)
    dense = "both" if reader.flag("enable_moe_block") else "moe"
    return [Slot(attention[i], dense if mixture[i] else "dense") for i in range(layers)]


def attention_kinds(reader: ConfigReader, family: Family, layers: int) -> list[str]:
    """The attention kind of each layer."""
    if family.flag("parallel_recurrent"):
        return ["linear"] * layers
    for read in (by_cross_layers, by_linear_lists, by_layer_types, by_hybrid_flags, by_interval, by_window):
        kinds = read(reader, family, layers)
        if kinds:
            return kinds
    return ["full"] * layers


def by_cross_layers(reader: ConfigReader, _family: Family, layers: int) -> list[str] | None:
    """Layers that attend to an encoder's output (Llama 3.2 Vision)."""
    listed = reader.items("cross_attention_layers")
    if not listed and reader.model_type == "mllama_text_model":
        listed = range(3, layers, 5)
        reader.assume(
            "cross_attention_layers = every fifth layer from the fourth: the config omits it, the class default is used"
        )
    return ["cross" if i in set(listed) else "full" for i in range(layers)] if listed else None


def by_linear_lists(reader: ConfigReader, _family: Family, layers: int) -> list[str] | None:
    """Kimi-Linear: two lists of layers counted from one."""
    lists = reader.mapping("linear_attn_config")
    listed = lists.get("kda_layers")
    if not isinstance(listed, list):
        return None
    return ["linear" if i + 1 in set(listed) else "full" for i in range(layers)]


def by_layer_types(reader: ConfigReader, family: Family, layers: int) -> list[str] | None:
    """The list that newer configs carry."""
    words = reader.items("layer_types") or reader.items("layers_block_type") or reader.items("attn_type_list")
    if len(words) < layers:
        return None
    kinds = ["linear" if w == 0 else "full" if w == 1 else LAYER_WORDS.get(str(w), "full") for w in words[:layers]]
    if not reader.given("sliding_window"):
        kinds = ["full" if k == "sliding" else k for k in kinds]
    if not reader.flag("use_sliding_window", True) or family.flag("window", True) is False:
        kinds = ["full" if k == "sliding" else k for k in kinds]
    return kinds


def by_hybrid_flags(reader: ConfigReader, _family: Family, layers: int) -> list[str] | None:
    """Lists of zeros and ones (MiMo-V2: one = sliding; Llama 4: no rope = full)."""
    flags = reader.items("hybrid_layer_pattern")
    if len(flags) >= layers:
        return ["sliding" if flags[i] else "full" for i in range(layers)]
    ropes = reader.items("no_rope_layers")
    if len(ropes) >= layers and reader.integer("attention_chunk_size", 0):
        return ["chunked" if ropes[i] else "full" for i in range(layers)]
    return None


def by_interval(reader: ConfigReader, family: Family, layers: int) -> list[str] | None:
    """One full layer in every so many: linear hybrids, Jamba, Llama 4."""
    every = reader.integer("full_attention_interval", 0) or reader.given("attn_layer_period")
    if every and family.word("recurrent"):
        offset = reader.given("attn_layer_offset", every - 1)
        return ["full" if i % every == offset else "linear" for i in range(layers)]
    if family.flag("chunked") and reader.integer("attention_chunk_size", 0):
        step = reader.integer("no_rope_layer_interval", 4) or 4
        return ["full" if (i + 1) % step == 0 else "chunked" for i in range(layers)]
    return None


def by_window(reader: ConfigReader, family: Family, layers: int) -> list[str] | None:
    """A sliding window on all but every n-th layer, else on all: the engine gives layers that name none this one."""
    window = reader.given("sliding_window") or (
        reader.integer("sliding_window", 0) if family.number("window_every") else 0
    )
    if not window or family.flag("window", True) is False or not reader.flag("use_sliding_window", True):
        return None
    pattern = reader.raw("sliding_window_pattern")
    if isinstance(pattern, str) and pattern:
        return ["sliding" if pattern[i % len(pattern)] == "L" else "full" for i in range(layers)]
    every = pattern if isinstance(pattern, int) and pattern > 0 else family.number("window_every")
    if every:
        return ["full" if (i + 1) % every == 0 else "sliding" for i in range(layers)]
    if not family.known:
        reader.assume(f"sliding_window {window} is not counted: how {reader.model_type!r} uses it is not known")
        return None
    return ["sliding"] * layers


def mixture_layers(reader: ConfigReader, layers: int) -> list[bool]:
    """Which layers route to experts."""
    if reader.given("num_experts") < 2 and not reader.integer("num_experts", 0):
        return [False] * layers
    words = reader.items("mlp_layer_types")
    if len(words) >= layers:
        return [words[i] == "sparse" for i in range(layers)]
    flags = reader.items("moe_layer_freq")
    if len(flags) >= layers:
        return [bool(flags[i]) for i in range(layers)]
    listed = reader.items("moe_layers") or moe_enumeration(reader)
    if listed:
        return [i in set(listed) for i in range(layers)]
    return [is_mixture(reader, i) for i in range(layers)]


def moe_enumeration(reader: ConfigReader) -> list[int]:
    """Step-3's comma-separated list."""
    return [int(n) for n in reader.text("moe_layers_enum").split(",") if n.strip().isdigit()]


def is_mixture(reader: ConfigReader, index: int) -> bool:
    """The rules by arithmetic: a dense head, a period, an offset."""
    if index < reader.integer("first_k_dense_replace", 0) or index in reader.items("mlp_only_layers"):
        return False
    if index < reader.given("moe_layer_start_index"):
        return False
    step = reader.integer("interleave_moe_layer_step", 0) or reader.given("decoder_sparse_step") or 1
    period = reader.given("expert_layer_period")
    if period:
        return index % period == reader.given("expert_layer_offset")
    frequency = reader.raw("moe_layer_freq")
    if isinstance(frequency, int) and frequency > 1:
        return index % frequency == 0
    return (index + 1) % step == 0
