"""config.json -> ModelProfile: puts the readers of each part together.

Pure; raises `UnreadableModel` and nothing else. Knows no engine version and no GPU.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shardwright.api.reasons import Reason
from shardwright.models import attention, feedforward, outer
from shardwright.models.audio import audio_matrices
from shardwright.models.errors import UnreadableModel
from shardwright.models.family import Family, family_of
from shardwright.models.layers import draft_layers, make_layers, state_heads
from shardwright.models.profile import CacheKind, ModelProfile
from shardwright.models.reader import ConfigReader, text_of, text_reader
from shardwright.models.schedule import Slot, blocks, schedule
from shardwright.models.storage import Wish, choose_rules
from shardwright.models.vision import read_tower

MOST_LAYERS = 2048
DTYPES = {"float32": "float32", "fp32": "float32", "float": "float32"} | dict.fromkeys(
    ("float16", "half", "fp16"), "float16"
)
DAMAGE = (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError, RecursionError, ZeroDivisionError)


def parse_config(  # what a caller may know besides the file, each by name
    config: Mapping[str, Any],
    *,
    model_id: str,
    quantization: str | None = None,
    quant_config: Mapping[str, Any] | None = None,
    own_quantization: bool = True,
    dtype: str | None = None,
) -> ModelProfile:
    """The profile of a model.

    `quantization`: a word for what to run as, where it differs from the checkpoint. `quant_config`: ModelOpt's extra
    file. `own_quantization`: False where the config belongs to another precision of the same model. `dtype`: what the
    engine was told to compute in. Raises `UnreadableModel`.
    """
    try:
        return build(config, Wish(model_id, quantization, quant_config, own_quantization), dtype)
    except DAMAGE as error:
        raise UnreadableModel(Reason.UNKNOWN_MODEL, f"config.json of {model_id} cannot be read: {error}") from error


def build(config: Mapping[str, Any], wish: Wish, dtype: str | None) -> ModelProfile:
    """The profile, with any error."""
    reader = text_reader(config)
    around = ConfigReader(config)
    family = known_family(reader, around)
    slots = schedule(reader, family, layer_count(reader))
    rules = choose_rules(reader, around, wish)
    layers = make_layers(reader, family, slots, rules)
    hidden, heads = reader.positive("hidden_size"), reported_heads(reader, family, slots)
    tower, pools = read_tower(around, hidden), outer.POOLS.search(architecture(config)) is not None
    tied = pools or outer.is_tied(reader, around, family)
    profile = ModelProfile(
        id=wish.model_id,
        architecture=architecture(config),
        model_type=reader.model_type or around.model_type,
        num_layers=len(slots),
        hidden_size=hidden,
        num_attention_heads=heads.query,
        num_kv_heads=heads.key_value,
        head_dim=heads.key_dim,
        value_head_dim=heads.value_dim,
        vocab_size=reader.positive("vocab_size"),
        max_context_length=outer.context_length(reader),
        num_experts=0,
        dtype=dtype_of(dtype, reader, around),
        quantization=rules.word if rules.default or rules.included else None,
        kv_cache_dtype=rules.kv_cache_dtype,
        tied_embeddings=tied,
        is_latent_attention=attention.keeps_latent(reader, family) or family.word("special") == "compressed",
        is_encoder_decoder=around.flag("is_encoder_decoder"),
        is_multimodal=bool(tower.matrices),
        vision_heads=tower.heads,
        vision_hidden_size=tower.hidden_size,
        vision_tokens=tower.tokens,
        vision_input_bytes=tower.input_bytes,
        vision=(*tower.matrices, *audio_matrices(around, hidden)),
        has_state=any(c.kind is CacheKind.STATE for layer in layers for c in layer.caches),
        state_heads=state_heads(layers),
        residual_streams=max(1, min(64, reader.stated("hc_mult", 1))),
        rope_bytes=outer.rope_bytes(reader, slots, heads),
        layers=layers,
        embedding=outer.embedding(reader, family),
        head=outer.head(reader, rules, tied, family),
        draft_layers=draft_layers(reader, layers, rules),
    )
    profile = with_feedforward(profile, reader, slots)
    return profile.with_assumptions(*reader.assumptions, *around.assumptions)


def with_feedforward(profile: ModelProfile, reader: ConfigReader, slots: list[Slot]) -> ModelProfile:
    """The sizes of dense and expert layers."""
    kinds = {slot.feedforward for slot in slots}
    if kinds & {"dense", "both"}:
        profile = replace(profile, intermediate_size=feedforward.dense_size(reader, 0))
    if not kinds & {"moe", "both"}:
        return profile
    return replace(
        profile,
        num_experts=reader.integer("num_experts", 0),
        expert_intermediate_size=feedforward.expert_size(reader),
        experts_per_token=reader.integer("num_experts_per_tok", 1),
        shared_expert_intermediate_size=feedforward.shared_size(reader),
    )


def layer_count(reader: ConfigReader) -> int:
    """Layers: as stated, else as many as a pattern lists. Raises `UnreadableModel`."""
    count = reader.stated("num_hidden_layers") or len(blocks(reader)) or reader.stated("decoder_layers")
    count = count or reader.positive("num_hidden_layers")
    if count > MOST_LAYERS:
        raise UnreadableModel(Reason.UNKNOWN_MODEL, f"{reader.where}: num_hidden_layers is {count}, which no model has")
    return count


def reported_heads(reader: ConfigReader, family: Family, slots: list[Slot]) -> attention.Heads:
    """The heads of the first full-attention layer; of latent attention, the sizes of its queries and values."""
    first = next((i for i, slot in enumerate(slots) if slot.attention == "full"), 0)
    heads = attention.heads_of(reader, family, "full", first)
    if not attention.is_latent(reader):
        return heads
    size = reader.integer("qk_nope_head_dim", 128) + reader.integer("qk_rope_head_dim", 64)
    return replace(heads, key_dim=size, value_dim=reader.integer("v_head_dim", 128))


def known_family(reader: ConfigReader, around: ConfigReader) -> Family:
    """The family's row; an unknown type is built from what it states, said as an assumption."""
    family = family_of(reader.model_type)
    if not family.known and around.model_type != reader.model_type:
        family = family_of(around.model_type)
    if not family.known and not reader.defaults and reader.model_type != "llama":
        name = reader.model_type or around.model_type
        reader.assume(f"model_type {name!r} is not known: built from what its config states, like llama")
    return family


def architecture(config: Mapping[str, Any]) -> str:
    """The first class that the config names."""
    names = config.get("architectures")
    return text_of(names[0]) if isinstance(names, list) and names else ""


def dtype_of(asked: str | None, reader: ConfigReader, around: ConfigReader) -> str:
    """The dtype the engine runs: asked, else the checkpoint's; float32 checkpoints run in bfloat16."""
    if asked and asked != "auto":
        return DTYPES.get(asked.removeprefix("torch."), "bfloat16")
    stated = (reader.text("torch_dtype") or around.text("torch_dtype")).removeprefix("torch.")
    return "float16" if DTYPES.get(stated) == "float16" else "bfloat16"
