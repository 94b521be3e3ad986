"""config.json -> ModelProfile: puts the readers of each part together, and decides which quantisation counts.

Pure; raises `UnreadableModel` and nothing else. Knows no engine version and no GPU.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shardwright.api.reasons import Reason
from shardwright.models import attention, compressed, feedforward, recurrent
from shardwright.models.errors import UnreadableModel
from shardwright.models.family import Family, family_of
from shardwright.models.formats import MXFP4, WeightFormat, format_from_id, format_from_word, is_container
from shardwright.models.profile import Cache, CacheKind, LayerShape, Matrix, ModelProfile, Part, Split
from shardwright.models.quantization import Rules, read_rules, rules_for_word
from shardwright.models.reader import ConfigReader, text_of, text_reader
from shardwright.models.schedule import Slot, blocks, schedule
from shardwright.models.vision import read_tower

MOST_LAYERS = 2048
DTYPES = {"float32": "float32", "fp32": "float32", "float": "float32", "float16": "float16", "half": "float16", "fp16": "float16"}


def parse_config(
    config: Mapping[str, Any],
    *,
    model_id: str,
    quantization: str | None = None,
    quant_config: Mapping[str, Any] | None = None,
    own_quantization: bool = True,
    dtype: str | None = None,
) -> ModelProfile:
    """The profile of a model.

    `quantization`: a word for what to run as, where it differs from the checkpoint. `quant_config`: ModelOpt's extra file.
    `own_quantization`: False where the config belongs to another precision of the same model. Raises `UnreadableModel`.
    """
    try:
        return build(config, model_id, quantization, quant_config, own_quantization, dtype)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise UnreadableModel(Reason.UNKNOWN_MODEL, f"config.json of {model_id} cannot be read: {error}") from error


def build(
    config: Mapping[str, Any], model_id: str, word: str | None, quant_config: Mapping[str, Any] | None, own: bool, dtype: str | None
) -> ModelProfile:
    """The profile, with any error."""
    reader = text_reader(config)
    outer = ConfigReader(config)
    family = known_family(reader, outer)
    count = reader.stated("num_hidden_layers") or len(blocks(reader)) or reader.positive("num_hidden_layers")
    if count > MOST_LAYERS:
        raise UnreadableModel(Reason.UNKNOWN_MODEL, f"{reader.where}: num_hidden_layers is {count}, which no model has")
    rules = choose_rules(config, reader, model_id, word, quant_config, own)
    if reader.text("expert_dtype") == "fp4" and rules.default is not None and not rules.included:
        rules.included[None] = [(lambda name: ".experts." in name, MXFP4)]
    slots = schedule(reader, family, count)
    layers = make_layers(reader, family, slots, rules)
    hidden = reader.positive("hidden_size")
    tower = read_tower(outer, hidden)
    tied = reader.flag("tie_word_embeddings", outer.flag("tie_word_embeddings", family.flag("tied")))
    if outer.config is not reader.config and outer.raw("tie_word_embeddings") is not None and reader.raw("tie_word_embeddings") is None:
        tied = outer.flag("tie_word_embeddings")
    heads = attention.heads_of(reader, family, "full", first_full(slots))
    if attention.is_latent(reader):
        nope, rope = reader.integer("qk_nope_head_dim", 128), reader.integer("qk_rope_head_dim", 64)
        heads = replace(heads, key_dim=nope + rope, value_dim=reader.integer("v_head_dim", 128))
    experts = reader.integer("num_experts", 0) if any(s.feedforward in ("moe", "both") for s in slots) else 0
    return ModelProfile(
        id=model_id,
        architecture=architecture(config),
        num_layers=count,
        hidden_size=hidden,
        num_attention_heads=heads.query,
        num_kv_heads=heads.key_value,
        head_dim=heads.key_dim,
        vocab_size=reader.positive("vocab_size"),
        max_context_length=context_length(reader),
        num_experts=experts,
        dtype=dtype_of(dtype, reader, outer),
        quantization=rules.word if rules.default or rules.included else None,
        checkpoint_quantization=checkpoint_word(config, reader, quant_config) if own else None,
        assumptions=tuple((*reader.assumptions, *outer.assumptions)),
        model_type=reader.model_type or outer.model_type,
        intermediate_size=feedforward.dense_size(reader, 0) if any(s.feedforward in ("dense", "both") for s in slots) else 0,
        expert_intermediate_size=feedforward.expert_size(reader) if experts else 0,
        experts_per_token=reader.integer("num_experts_per_tok", 1) if experts else 0,
        shared_expert_intermediate_size=feedforward.shared_size(reader) if experts else 0,
        value_head_dim=heads.value_dim,
        is_latent_attention=attention.is_latent(reader) or family.word("special") == "compressed",
        is_multimodal=bool(tower.matrices),
        is_encoder_decoder=outer.flag("is_encoder_decoder"),
        has_state=any(c.kind is CacheKind.STATE for layer in layers for c in layer.caches),
        state_heads=state_heads(layers),
        vision_heads=tower.heads,
        vision_tokens=tower.tokens,
        vision_hidden_size=tower.hidden_size,
        tied_embeddings=tied,
        residual_streams=max(1, min(64, reader.stated("hc_mult", 1))),
        rope_bytes=rope_bytes(reader, slots, heads),
        kv_cache_dtype=rules.kv_cache_dtype,
        layers=layers,
        embedding=embedding(reader, family),
        head=head(reader, rules, tied, family),
        vision=tower.matrices,
        draft_layers=draft_layers(reader, layers),
    )


def known_family(reader: ConfigReader, outer: ConfigReader) -> Family:
    """The family's row; an unknown type is built from what it states, said as an assumption."""
    family = family_of(reader.model_type)
    if not family.known and outer.model_type != reader.model_type:
        family = family_of(outer.model_type)
    if not family.known and not reader.defaults and reader.model_type != "llama":
        reader.assume(f"model_type {reader.model_type or outer.model_type!r} is not known: built from what its config states, like llama")
    return family


def architecture(config: Mapping[str, Any]) -> str:
    """The first class that the config names."""
    names = config.get("architectures")
    return text_of(names[0]) if isinstance(names, list) and names else ""


def context_length(reader: ConfigReader) -> int:
    """The model's own longest context: positions times the scaling that its class applies."""
    length = reader.integer("max_position_embeddings", 2048)
    scaling = reader.mapping("rope_scaling") or reader.mapping("rope_parameters")
    kind, factor = text_of(scaling.get("rope_type")) or text_of(scaling.get("type")), scaling.get("factor")
    original = scaling.get("original_max_position_embeddings")
    if kind == "yarn" and isinstance(factor, int | float) and isinstance(original, int) and 1 <= factor <= 4096:
        return max(1, min(int(original * factor), 1 << 40))
    return max(1, length)


def rope_bytes(reader: ConfigReader, slots: list[Slot], heads: attention.Heads) -> int:
    """Cosines and sines by position: one table per kind of attention that has its own rotary base, in the model's dtype."""
    rotary = heads.key_dim
    factor = reader.raw("partial_rotary_factor") or reader.mapping("rope_parameters").get("partial_rotary_factor")
    if isinstance(factor, int | float) and 0 < factor < 1:
        rotary = int(rotary * factor)
    width = 2
    if attention.is_latent(reader):
        rotary, width = reader.integer("qk_rope_head_dim", 64), 4
    if reader.stated("rotary_dim"):
        rotary = reader.stated("rotary_dim")
    kinds = {s.attention for s in slots} - {"none", "linear", "cross"}
    tables = len(kinds) if reader.raw("rope_local_base_freq") or reader.model_type.startswith(("gemma3", "gemma4")) else min(1, len(kinds))
    return tables * min(context_length(reader), 1 << 24) * rotary * width


def dtype_of(asked: str | None, reader: ConfigReader, outer: ConfigReader) -> str:
    """The dtype the engine runs: asked, else the checkpoint's; float32 checkpoints run in bfloat16."""
    if asked and asked != "auto":
        return DTYPES.get(asked.removeprefix("torch."), "bfloat16")
    stated = (reader.text("torch_dtype") or outer.text("torch_dtype")).removeprefix("torch.")
    return "float16" if DTYPES.get(stated) == "float16" else "bfloat16"


def choose_rules(
    config: Mapping[str, Any], reader: ConfigReader, model_id: str, word: str | None, quant_config: Mapping[str, Any] | None, own: bool
) -> Rules:
    """Which quantisation counts: the checkpoint's own where it agrees with the word, else the word, else what the id says."""
    stated = config.get("quantization_config") or reader.config.get("quantization_config")
    checkpoint = read_rules(stated) if own and isinstance(stated, Mapping) and stated else None
    if own and quant_config and (checkpoint is None or not (checkpoint.default or checkpoint.included)):
        checkpoint = read_rules(quant_config)
    quantized = checkpoint is not None and bool(checkpoint.default or checkpoint.included)
    if not word or is_container(word):
        return resolve_unspoken(reader, model_id, word, checkpoint if quantized else None, own)
    asked = format_from_word(word)
    if checkpoint is not None and quantized and agrees(checkpoint, asked):
        return checkpoint
    return rules_for_word(word, asked)


def checkpoint_word(
    config: Mapping[str, Any], reader: ConfigReader, quant_config: Mapping[str, Any] | None
) -> str | None:
    """The method that the checkpoint's own files state, whatever it is run as."""
    stated = config.get("quantization_config") or reader.config.get("quantization_config") or quant_config
    rules = read_rules(stated) if isinstance(stated, Mapping) and stated else Rules()
    return rules.word if rules.default or rules.included else None


def resolve_unspoken(reader: ConfigReader, model_id: str, word: str | None, checkpoint: Rules | None, own: bool) -> Rules:
    """Nothing, or only a file format, was said."""
    if checkpoint is not None:
        return checkpoint
    boasted = format_from_id(model_id) if word or not own else None
    if boasted is not None:
        reader.assume(f"weights are {boasted.name}: taken from the model's id, its config does not say")
        return rules_for_word(boasted.name, boasted)
    if word:
        reader.assume(f"weights are fp8: {word!r} names a file format and neither config nor id says the bits")
        return rules_for_word("fp8", format_from_word("fp8"))
    return Rules()


def agrees(rules: Rules, asked: WeightFormat | None) -> bool:
    """Whether a checkpoint's rules are of as many bits as asked: then its own, more exact list counts."""
    stored = {rules.default, *(f for rows in rules.included.values() for _, f in rows)} - {None}
    return asked is not None and any(f is not None and f.bits == asked.bits for f in stored)


def make_layers(reader: ConfigReader, family: Family, slots: list[Slot], rules: Rules) -> tuple[LayerShape, ...]:
    """All layers; equal ones are one object."""
    known: dict[LayerShape, LayerShape] = {}
    blueprints: dict[object, LayerShape] = {}
    layers = []
    first_shared = len(slots) - reader.integer("num_kv_shared_layers", 0)
    vary = bool(reader.items("block_configs"))
    for index, slot in enumerate(slots):
        shares = index >= first_shared > 0
        key = (slot, shares, index if vary or rules.signature(index) else None, indexer_key(reader, index))
        if key not in blueprints:
            shape = quantized_layer(make_layer(reader, family, slot, index), index, rules)
            shape = LayerShape(shape.matrices) if shares else shape  # it reads the cache of an earlier layer
            blueprints[key] = known.setdefault(shape, shape)
        layers.append(blueprints[key])
    return tuple(layers)


def indexer_key(reader: ConfigReader, index: int) -> object:
    """What else than its slot makes a layer differ: shared indexers, sparse blocks, compression."""
    kinds, ratios = reader.items("indexer_types"), reader.items("compress_ratios")
    flags = reader.mapping("sparse_attention_config").get("sparse_attention_freq")
    return (
        str(kinds[index]) if index < len(kinds) else "",
        str(ratios[index]) if index < len(ratios) else "",
        bool(flags[index]) if isinstance(flags, list) and index < len(flags) else False,
        index < reader.stated("num_hash_layers"),
    )


def make_layer(reader: ConfigReader, family: Family, slot: Slot, index: int) -> LayerShape:
    """One layer, unquantised."""
    matrices: list[Matrix] = []
    caches: tuple[Cache, ...] = ()
    if slot.attention != "none":
        pieces, caches = attention_piece(reader, family, slot.attention, index)
        matrices += pieces
    if slot.feedforward in ("dense", "both"):
        matrices += feedforward.dense(reader, family, index)
    if slot.feedforward in ("moe", "both"):
        matrices += feedforward.mixture(reader, family)
    norms = family.number("norms", 2) * reader.positive("hidden_size")
    matrices.append(Matrix("norms", Part.NORM, norms, 1, Split.WHOLE, quantizable=False))
    return LayerShape(tuple(matrices), caches)


def attention_piece(reader: ConfigReader, family: Family, kind: str, index: int) -> attention.Piece:
    """The attention half of a layer."""
    if family.word("special") == "compressed":
        return compressed.compressed_attention(reader, index)
    if kind == "linear":
        piece = recurrent.recurrent(reader, family)
        if family.flag("parallel_recurrent"):
            other = attention.grouped_query(reader, family, "full", index)
            return (*piece[0], *other[0]), (*piece[1], *other[1])
        return piece
    if attention.is_latent(reader):
        return attention.latent(reader, family, index)
    return attention.grouped_query(reader, family, kind, index)


def quantized_layer(layer: LayerShape, index: int, rules: Rules) -> LayerShape:
    """The same with each matrix's storage."""
    return LayerShape(tuple(stored(m, index, rules) for m in layer.matrices), layer.caches)


def stored(matrix: Matrix, index: int | None, rules: Rules) -> Matrix:
    """The matrix with its storage."""
    if not matrix.quantizable or matrix.columns < 2:
        return matrix
    kept = rules.format_of(index, matrix.name)
    return matrix if kept is None else replace(matrix, format=kept)


def embedding(reader: ConfigReader, family: Family) -> tuple[Matrix, ...]:
    """Token (and learned position) embeddings."""
    hidden = reader.stated("word_embed_proj_dim") or reader.positive("hidden_size")
    rows = [Matrix("embed_tokens", Part.EMBEDDING, reader.positive("vocab_size"), hidden, Split.VOCABULARY, quantizable=False)]
    if family.flag("positions"):
        rows.append(Matrix("embed_positions", Part.EMBEDDING, reader.integer("max_position_embeddings", 2048), hidden, Split.WHOLE, quantizable=False))
    return tuple(rows)


def head(reader: ConfigReader, rules: Rules, tied: bool, family: Family) -> tuple[Matrix, ...]:
    """Final norm and, unless tied, the output head."""
    norm = Matrix("norm", Part.NORM, reader.positive("hidden_size"), 1, Split.WHOLE, quantizable=False)
    if tied:
        return (norm,)
    row = Matrix("lm_head", Part.HEAD, reader.positive("vocab_size"), reader.positive("hidden_size"), Split.VOCABULARY, bias=family.flag("head_bias"))
    return (norm, stored(row, None, rules) if rules.included else row)


def draft_layers(reader: ConfigReader, layers: tuple[LayerShape, ...]) -> tuple[LayerShape, ...]:
    """Multi-token-prediction layers: each like the last attention layer, with a projection of two hidden states into one."""
    count = min(8, reader.integer("num_nextn_predict_layers", 0))
    like = next((layer for layer in reversed(layers) if any(c.kind is not CacheKind.STATE for c in layer.caches)), None)
    if not count or like is None:
        return ()
    if blocks(reader):  # single blocks: attention, then experts
        mixed = next((layer for layer in reversed(layers) if any(m.part is Part.EXPERT for m in layer.matrices)), LayerShape(()))
        like = LayerShape((*like.matrices, *mixed.matrices), like.caches)
    hidden = reader.positive("hidden_size")
    joint = Matrix("eh_proj", Part.MLP, hidden, 2 * hidden, Split.WHOLE, quantizable=False)
    return (LayerShape((*like.matrices, joint), like.caches),) * count


def first_full(slots: list[Slot]) -> int:
    """Index of the first layer with full attention."""
    return next((i for i, s in enumerate(slots) if s.attention == "full"), 0)


def state_heads(layers: tuple[LayerShape, ...]) -> tuple[int, ...]:
    """Head counts that tensor parallelism must divide in recurrent layers."""
    return tuple(sorted({p.divisible for layer in layers for c in layer.caches for p in c.state if p.divisible}))
