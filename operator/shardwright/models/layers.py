"""The layers of a model: each slot of its schedule as matrices and caches, stored as the quantisation says."""

from dataclasses import replace

from shardwright.models import attention, compressed, feedforward, recurrent
from shardwright.models.family import Family
from shardwright.models.profile import Cache, CacheKind, LayerShape, Matrix, Part, Split
from shardwright.models.quantization import Rules
from shardwright.models.reader import ConfigReader
from shardwright.models.schedule import Slot, blocks

MOST_DRAFTS = 8


def make_layers(reader: ConfigReader, family: Family, slots: list[Slot], rules: Rules) -> tuple[LayerShape, ...]:
    """All layers; equal ones are one object."""
    known: dict[LayerShape, LayerShape] = {}
    blueprints: dict[object, LayerShape] = {}
    layers = []
    first_shared = len(slots) - reader.integer("num_kv_shared_layers", 0)
    vary = bool(reader.items("block_configs"))
    for index, slot in enumerate(slots):
        shares = index >= first_shared > 0
        own = index if vary or rules.signature(index) else None
        key = (slot, shares, own, variant(reader, index))
        if key not in blueprints:
            shape = quantized(make_layer(reader, family, slot, index), index, rules)
            shape = LayerShape(shape.matrices) if shares else shape  # it reads the cache of an earlier layer
            blueprints[key] = known.setdefault(shape, shape)
        layers.append(blueprints[key])
    return tuple(layers)


def variant(reader: ConfigReader, index: int) -> object:
    """What else than its slot makes a layer differ: shared indexers, sparse blocks, compression."""
    kinds, ratios = reader.items("indexer_types"), reader.items("compress_ratios")
    flags = reader.mapping("sparse_attention_config").get("sparse_attention_freq")
    return (
        str(kinds[index]) if index < len(kinds) else "",
        str(ratios[index]) if index < len(ratios) else "",
        bool(flags[index]) if isinstance(flags, list) and index < len(flags) else False,
    )


def make_layer(reader: ConfigReader, family: Family, slot: Slot, index: int) -> LayerShape:
    """One layer, unquantised."""
    matrices: list[Matrix] = []
    caches: tuple[Cache, ...] = ()
    if slot.attention != "none":
        pieces, caches = attention_piece(reader, family, slot.attention, index)
        matrices += pieces
    if family.flag("cross_everywhere"):
        pieces, more = attention.grouped_query(reader, family, "cross", index)
        matrices, caches = [*matrices, *(replace(m, name=f"cross_{m.name}") for m in pieces)], (*caches, *more)
    if slot.feedforward in ("dense", "both"):
        matrices += feedforward.dense(reader, family, index)
    if slot.feedforward in ("moe", "both"):
        matrices += feedforward.mixture(reader, family)
    matrices += per_layer_input(reader)
    norms = family.number("norms", 2) * reader.positive("hidden_size")
    matrices.append(Matrix("norms", Part.NORM, norms, 1, Split.WHOLE, quantizable=False))
    return LayerShape(tuple(matrices), caches)


def per_layer_input(reader: ConfigReader) -> list[Matrix]:
    """The gate and projection that let a layer read its own embedding of a token, in full on every rank."""
    narrow, hidden = reader.integer("hidden_size_per_layer_input", 0), reader.positive("hidden_size")
    if not narrow:
        return []
    shapes = (("per_layer_input_gate", narrow, hidden), ("per_layer_projection", hidden, narrow))
    return [Matrix(name, Part.MLP, rows, columns, Split.WHOLE, quantizable=False) for name, rows, columns in shapes]


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


def quantized(layer: LayerShape, index: int, rules: Rules) -> LayerShape:
    """The same with each matrix's storage; the engine copies MLA's up-projection only where it must be dequantised."""
    kept = tuple(stored(m, index, rules) for m in layer.matrices)
    copied = any(m.format is not None for m in kept if m.name.endswith(".kv_b_proj"))
    return LayerShape(tuple(m for m in kept if copied or m.part is not Part.ABSORBED), layer.caches)


def stored(matrix: Matrix, index: int | None, rules: Rules) -> Matrix:
    """The matrix with its storage."""
    if not matrix.quantizable or matrix.columns < 2:
        return matrix
    kept = rules.format_of(index, matrix.name)
    return matrix if kept is None else replace(matrix, format=kept)


def draft_layers(reader: ConfigReader, layers: tuple[LayerShape, ...], rules: Rules) -> tuple[LayerShape, ...]:
    """Multi-token prediction: each like the last attention layer, with a projection of two hidden states into one."""
    count = min(MOST_DRAFTS, reader.integer("num_nextn_predict_layers", 0))
    like = next((layer for layer in reversed(layers) if grows(layer)), None)
    if not count or like is None:
        return ()
    matrices = like.matrices
    if blocks(reader):  # layers are single blocks: the draft has one of attention and one of experts
        matrices += next((layer.matrices for layer in reversed(layers) if has_experts(layer)), ())
    hidden = reader.positive("hidden_size")
    joint = Matrix("eh_proj", Part.MLP, hidden, 2 * hidden, Split.WHOLE, quantizable=False)
    own = tuple(stored_in_draft(m, len(layers), rules) for m in matrices)
    return (LayerShape((*own, joint), like.caches),) * count


def stored_in_draft(matrix: Matrix, index: int, rules: Rules) -> Matrix:
    """As a draft layer keeps it: lists of names call it `mtp`, or count it as the layer after the last."""
    if any(matches(f"mtp.layers.0.{matrix.name}") for matches in rules.excluded.get(None, ())):
        return replace(matrix, format=None)
    return stored(replace(matrix, format=None), index, rules) if rules.signature(index) else matrix


def grows(layer: LayerShape) -> bool:
    """Whether a layer caches something for every token."""
    return any(cache.kind is not CacheKind.STATE for cache in layer.caches)


def has_experts(layer: LayerShape) -> bool:
    """Whether a layer routes to experts."""
    return any(matrix.part is Part.EXPERT for matrix in layer.matrices)


def state_heads(layers: tuple[LayerShape, ...]) -> tuple[int, ...]:
    """Head counts that tensor parallelism must divide in recurrent layers."""
    distinct = {id(layer): layer for layer in layers}.values()
    return tuple(sorted({p.divisible for layer in distinct for c in layer.caches for p in c.state if p.divisible}))
