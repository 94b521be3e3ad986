"""Attention layers as matrices and caches.

Grouped-query, latent (MLA), and the exceptions that some families make per layer.
"""

from dataclasses import dataclass

from shardwright.models.family import Family
from shardwright.models.profile import Cache, CacheKind, Matrix, Part, Split
from shardwright.models.reader import ConfigReader

Piece = tuple[tuple[Matrix, ...], tuple[Cache, ...]]


@dataclass(frozen=True, slots=True)
class Heads:
    """The head counts and sizes of one attention layer."""

    query: int
    key_value: int
    key_dim: int
    value_dim: int
    has_value: bool = True
    """False where keys serve as values (Gemma 4's global layers)."""


def heads_of(reader: ConfigReader, family: Family, kind: str, index: int) -> Heads:
    """The heads of a layer, with the per-layer and per-kind exceptions."""
    query = reader.positive("num_attention_heads", default_heads(reader, family))
    key_value = kv_heads(reader, family, query)
    key_dim = head_dim(reader, query)
    value_dim = reader.stated("v_head_dim") or key_dim
    has_value = True
    if kind == "full" and reader.integer("global_head_dim", 0):
        key_dim = value_dim = reader.integer("global_head_dim", 0)
        key_value = reader.stated("num_global_key_value_heads") or key_value
        has_value = not reader.flag("attention_k_eq_v")
    if kind == "sliding" and reader.stated("swa_num_key_value_heads"):
        query = reader.stated("swa_num_attention_heads", query)
        key_value = reader.stated("swa_num_key_value_heads")
        key_dim = reader.stated("swa_head_dim", key_dim)
        value_dim = reader.stated("swa_v_head_dim", value_dim)
    per_group = block_attention(reader, index).get("n_heads_in_group")
    if isinstance(per_group, int) and per_group > 0:
        key_value = max(1, query // per_group)
    return Heads(query, max(1, key_value), key_dim, value_dim, has_value)


def default_heads(reader: ConfigReader, family: Family) -> int | None:
    """Heads of a model without attention, whose channels are divided singly; None = the config must state them."""
    return reader.positive("hidden_size") if family.flag("attention_free") else None


def block_attention(reader: ConfigReader, index: int) -> dict[str, object]:
    """Nemotron-NAS: the attention part of this layer's own block."""
    blocks = reader.items("block_configs")
    block = blocks[index] if index < len(blocks) else None
    inner = block.get("attention") if isinstance(block, dict) else None
    return inner if isinstance(inner, dict) else {}


def kv_heads(reader: ConfigReader, family: Family, query: int) -> int:
    """KV heads: as stated, one for multi-query, else as many as query heads."""
    if family.flag("multi_query") or (reader.flag("multi_query") and not reader.flag("new_decoder_architecture")):
        return 1
    if reader.flag("multi_query_attention"):
        return reader.stated("multi_query_group_num", 1)
    if family.flag("heads_are_kv"):
        return query
    stated = reader.stated("num_key_value_heads")
    return stated or reader.integer("num_key_value_heads", query) or query


def head_dim(reader: ConfigReader, query: int) -> int:
    """Size of one head: as stated, by class, else the hidden size over the heads."""
    stated = reader.stated("head_dim")
    if is_latent(reader):
        return stated or reader.integer("qk_nope_head_dim", 128) + reader.integer("qk_rope_head_dim", 64)
    return stated or reader.integer("head_dim", reader.positive("hidden_size") // query) or 1


def grouped_query(reader: ConfigReader, family: Family, kind: str, index: int) -> Piece:
    """MHA, GQA or MQA, full or windowed."""
    if block_attention(reader, index).get("no_op"):
        return (), ()
    heads, hidden, name = (
        heads_of(reader, family, kind, index),
        reader.positive("hidden_size"),
        family.word("attention", "self_attn"),
    )
    bias = family.flag("qkv_bias") or any(
        reader.flag(k) for k in ("attention_bias", "qkv_bias", "add_qkv_bias", "use_qkv_bias")
    )
    output_bias = family.flag("output_bias") or (reader.flag("attention_bias") and not family.flag("qkv_bias"))
    gate = 2 if family.flag("output_gate") and reader.flag("attn_output_gate", True) else 1
    rows = heads.key_value * heads.key_dim
    matrices = [
        Matrix(f"{name}.q_proj", Part.ATTENTION, gate * heads.query * heads.key_dim, hidden, bias=bias),
        Matrix(f"{name}.k_proj", Part.ATTENTION, rows, hidden, Split.GROUPS, groups=heads.key_value, bias=bias),
    ]
    if heads.has_value or kind == "cross":
        values = heads.key_value * heads.value_dim
        matrices.append(
            Matrix(f"{name}.v_proj", Part.ATTENTION, values, hidden, Split.GROUPS, groups=heads.key_value, bias=bias)
        )
    else:  # the engine still allocates the fused projection for keys and values
        matrices.append(
            Matrix(f"{name}.k_proj_as_v", Part.ATTENTION, rows, hidden, Split.GROUPS, groups=heads.key_value)
        )
    matrices.append(
        Matrix(
            f"{name}.o_proj",
            Part.ATTENTION,
            hidden,
            heads.query * heads.value_dim,
            bias=output_bias,
            shard_outputs=False,
        )
    )
    matrices += qk_norms(family, heads, name)
    return tuple(matrices), (cache_of(reader, kind, heads), *block_index(reader, index))


def qk_norms(family: Family, heads: Heads, name: str) -> list[Matrix]:
    """Norms of queries and keys."""
    style = family.word("qk_norm")
    if not style:
        return []
    sizes = (
        (heads.key_dim, heads.key_dim)
        if style == "head"
        else (heads.query * heads.key_dim, heads.key_value * heads.key_dim)
    )
    return [
        Matrix(f"{name}.{n}_norm", Part.NORM, size, 1, Split.WHOLE, quantizable=False)
        for n, size in zip("qk", sizes, strict=True)
    ]


def cache_of(reader: ConfigReader, kind: str, heads: Heads) -> Cache:
    """What a grouped-query layer caches."""
    window = 0
    if kind == "sliding":
        window = reader.integer("sliding_window", 0)
    elif kind == "chunked":
        window = reader.integer("attention_chunk_size", 0)
    kinds = {"sliding": CacheKind.SLIDING, "chunked": CacheKind.CHUNKED, "cross": CacheKind.CROSS}
    return Cache(kinds.get(kind, CacheKind.FULL), heads.key_value, heads.key_dim, heads.value_dim, window)


def block_index(reader: ConfigReader, index: int) -> tuple[Cache, ...]:
    """MiniMax-M3: keys of a block-sparse indexer, on the layers that use one."""
    sparse = reader.mapping("sparse_attention_config")
    flags = sparse.get("sparse_attention_freq")
    size = sparse.get("sparse_index_dim")
    if not isinstance(flags, list) or not isinstance(size, int) or index >= len(flags) or not flags[index]:
        return ()
    return (Cache(CacheKind.INDEX, 1, size, 0),)


def is_latent(reader: ConfigReader) -> bool:
    """Whether the config describes multi-head latent attention."""
    return reader.given("kv_lora_rank") > 0


def keeps_latent(reader: ConfigReader, family: Family) -> bool:
    """Whether the engine caches the latent vector; some classes unfold it and cache keys and values of every head."""
    return is_latent(reader) and family.flag("latent", True)


def latent(reader: ConfigReader, family: Family, index: int) -> Piece:
    """MLA: low-rank projections in full on every rank, up-projections divided, one latent vector per token."""
    hidden, query, name = (
        reader.positive("hidden_size"),
        reader.positive("num_attention_heads"),
        family.word("attention", "self_attn"),
    )
    nope, rope = reader.integer("qk_nope_head_dim", 128), reader.integer("qk_rope_head_dim", 64)
    unfolds = not family.flag("latent", True)
    value, rank, q_rank = (
        reader.integer("v_head_dim", hidden // query if unfolds else 128),
        reader.given("kv_lora_rank"),
        reader.given("q_lora_rank"),
    )
    matrices = [Matrix(f"{name}.kv_a_proj_with_mqa", Part.ATTENTION, rank + rope, hidden, Split.WHOLE)]
    if q_rank:
        matrices.append(Matrix(f"{name}.q_a_proj", Part.ATTENTION, q_rank, hidden, Split.WHOLE))
        matrices.append(Matrix(f"{name}.q_b_proj", Part.ATTENTION, query * (nope + rope), q_rank))
    else:
        matrices.append(Matrix(f"{name}.q_proj", Part.ATTENTION, query * (nope + rope), hidden))
    matrices += [
        Matrix(f"{name}.kv_b_proj", Part.ATTENTION, query * (nope + value), rank),
        Matrix(f"{name}.absorbed", Part.ABSORBED, query * (nope + value), rank, quantizable=False),
        Matrix(f"{name}.o_proj", Part.ATTENTION, hidden, query * value, shard_outputs=False),
        Matrix(f"{name}.kv_a_layernorm", Part.NORM, rank + q_rank, 1, Split.WHOLE, quantizable=False),
    ]
    if reader.flag("mla_use_output_gate"):
        matrices.append(Matrix(f"{name}.g_proj", Part.ATTENTION, query * value, hidden))
    if unfolds:  # values are padded to the size of keys
        kept = tuple(m for m in matrices if m.part is not Part.ABSORBED)
        return kept, (Cache(CacheKind.FULL, query, nope + rope, nope + rope),)
    index_matrices, index_caches = indexer(reader, name, index)
    return (*matrices, *index_matrices), (Cache(CacheKind.LATENT, 1, rank + rope, 0), *index_caches)


def indexer(reader: ConfigReader, name: str, index: int) -> Piece:
    """The indexer of sparse MLA (DeepSeek V3.2, GLM-5): in full on every rank; layers that share one keep none."""
    heads, size = reader.given("index_n_heads"), reader.given("index_head_dim")
    kinds = reader.items("indexer_types")
    if not heads or not size or (index < len(kinds) and kinds[index] == "shared"):
        return (), ()
    hidden, q_rank = reader.positive("hidden_size"), reader.given("q_lora_rank") or reader.positive("hidden_size")
    matrices = (
        Matrix(f"{name}.indexer.wq_b", Part.ATTENTION, heads * size, q_rank, Split.WHOLE),
        Matrix(f"{name}.indexer.wk", Part.ATTENTION, size, hidden, Split.WHOLE),
        Matrix(f"{name}.indexer.weights_proj", Part.ATTENTION, heads, hidden, Split.WHOLE, quantizable=False),
        Matrix(
            f"{name}.indexer.k_norm", Part.NORM, size, 1, Split.WHOLE, bias=True, element_bytes=4, quantizable=False
        ),
    )
    return matrices, (Cache(CacheKind.INDEX, 1, size, 0),)
