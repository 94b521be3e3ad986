"""Layers with a state instead of a growing cache: Mamba, gated delta nets, Kimi delta attention, short convolutions.

State shapes follow vLLM 0.32.0, model_executor/layers/mamba/mamba_utils.py: a window and a recurrent matrix.
"""

from shardwright.models.attention import Piece
from shardwright.models.family import Family
from shardwright.models.profile import Cache, CacheKind, Matrix, Part, Split, StatePiece
from shardwright.models.reader import ConfigReader

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "fp32": 4}


def recurrent(reader: ConfigReader, family: Family) -> Piece:
    """The linear layer of this family."""
    builders = {
        "gdn": gated_delta,
        "kda": kimi_delta,
        "mamba1": mamba1,
        "shortconv": short_convolution,
        "lightning": lightning,
    }
    return builders.get(family.word("recurrent"), mamba2)(reader, family)


def state_bytes(reader: ConfigReader, default: int) -> int:
    """Bytes of one element of the recurrent matrix, as the config asks; 0 in `default` = as the model."""
    asked = reader.text("mamba_ssm_dtype") or reader.text("mamba_ssm_cache_dtype")
    return BYTES.get(asked, default)


def part(name: str, rows: int, columns: int, *, out: bool = True, split: Split = Split.TENSOR) -> Matrix:
    """One projection of a linear layer."""
    return Matrix(name, Part.LINEAR_ATTENTION, rows, columns, split, shard_outputs=out)


def small(name: str, elements: int, element_bytes: int = 0) -> Matrix:
    """A divided vector or convolution, never quantised."""
    return Matrix(name, Part.LINEAR_ATTENTION, elements, 1, quantizable=False, element_bytes=element_bytes)


def gated_delta(reader: ConfigReader, _family: Family) -> Piece:
    """Qwen3-Next, Qwen3.5: gated delta net."""
    hidden, kernel = reader.positive("hidden_size"), reader.integer("linear_conv_kernel_dim", 4)
    k_heads, v_heads = reader.positive("linear_num_key_heads"), reader.positive("linear_num_value_heads")
    k_dim, v_dim = reader.positive("linear_key_head_dim"), reader.positive("linear_value_head_dim")
    mixed = 2 * k_heads * k_dim + v_heads * v_dim
    matrices = (
        part("linear_attn.in_proj_qkv", mixed, hidden),
        part("linear_attn.in_proj_z", v_heads * v_dim, hidden),
        Matrix("linear_attn.in_proj_ba", Part.LINEAR_ATTENTION, 2 * v_heads, hidden, quantizable=False),
        part("linear_attn.out_proj", hidden, v_heads * v_dim, out=False),
        small("linear_attn.conv1d", mixed * kernel),
        small("linear_attn.A_log", 2 * v_heads, 4),
    )
    state = (
        StatePiece(mixed * (kernel - 1), 0, k_heads),
        StatePiece(v_heads * v_dim * k_dim, state_bytes(reader, 0), v_heads, by_model_dtype=True),
    )
    return matrices, (Cache(CacheKind.STATE, state=state),)


def kimi_delta(reader: ConfigReader, _family: Family) -> Piece:
    """Kimi-Linear: delta attention with per-channel gates; its recurrent matrix is float32 unless asked otherwise."""
    inner = ConfigReader(reader.mapping("linear_attn_config"), where=f"{reader.where} linear_attn_config")
    hidden, heads, size = reader.positive("hidden_size"), inner.positive("num_heads"), inner.positive("head_dim")
    kernel, wide = inner.integer("short_conv_kernel_size", 4), heads * size
    low_rank = (part("self_attn.g_a_proj", size, hidden, split=Split.WHOLE), part("self_attn.g_b_proj", wide, size))
    gate = (part("self_attn.g_proj", wide, hidden),) if inner.flag("use_full_rank_gate") else low_rank
    matrices = (
        *(part(f"self_attn.{n}_proj", wide, hidden) for n in "qkv"),
        part("self_attn.f_a_proj", size, hidden, split=Split.WHOLE),
        part("self_attn.f_b_proj", wide, size),
        *gate,
        part("self_attn.b_proj", heads, hidden),
        part("self_attn.o_proj", hidden, wide, out=False),
        small("self_attn.conv1d", 3 * wide * kernel, 4),
        small("self_attn.dt_bias", wide + heads, 4),
    )
    state = (
        StatePiece(3 * wide * (kernel - 1), 0, heads),
        StatePiece(heads * size * size, state_bytes(reader, 4), heads),
    )
    return matrices, (Cache(CacheKind.STATE, state=state),)


def mamba2(reader: ConfigReader, family: Family) -> Piece:
    """Mamba 2 (Nemotron-H, Granite 4, Bamba, Zamba 2)."""
    hidden, name = reader.positive("hidden_size"), family.word("attention", "mamba")
    alone = family.flag("attention_free")
    heads = reader.given("mamba_num_heads") or reader.given("mamba_n_heads")
    heads = heads or (reader.integer("num_heads", 0) if alone else 0) or reader.integer("n_mamba_heads", 1)
    size = reader.given("mamba_head_dim") or reader.given("mamba_d_head")
    size = size or (reader.integer("head_dim", 0) if alone else 0) or 64
    state_size = reader.given("ssm_state_size") or reader.given("mamba_d_state") or reader.integer("state_size", 128)
    groups = reader.integer("n_groups", 0) or reader.given("mamba_n_groups") or reader.given("mamba_ngroups") or 1
    kernel = reader.integer("conv_kernel", 0) or reader.integer("mamba_d_conv", 4)
    inner, shared = heads * size, 2 * groups * state_size
    matrices = (
        part(f"{name}.in_proj", 2 * inner + heads, hidden),
        Matrix(f"{name}.in_proj", Part.LINEAR_ATTENTION, shared, hidden, Split.GROUPS, groups=groups),
        part(f"{name}.out_proj", hidden, inner, out=False),
        small(f"{name}.conv1d", (inner + shared) * (kernel + 1)),
        small(f"{name}.A", 3 * heads, 4),
        Matrix(f"{name}.norm", Part.NORM, inner, 1, quantizable=False),
    )
    state = (
        StatePiece((inner + shared) * (kernel - 1), 0, heads, groups=groups, groups_elements=shared * (kernel - 1)),
        StatePiece(
            inner * state_size,
            state_bytes(reader, 4 if reader.model_type == "nemotron_h" else 0),
            heads,
            by_model_dtype=True,
        ),
    )
    return matrices, (Cache(CacheKind.STATE, state=state),)


def mamba1(reader: ConfigReader, family: Family) -> Piece:
    """Mamba 1: Jamba, and models without any attention, which state its sizes under shorter names."""
    hidden = reader.positive("hidden_size")
    if family.flag("attention_free"):
        inner = reader.given("intermediate_size") or reader.integer("expand", 2) * hidden
        state_size, kernel = reader.integer("state_size", 16), reader.integer("conv_kernel", 4)
        asked = reader.raw("time_step_rank")
    else:
        inner = reader.given("mamba_expand", 2) * hidden
        state_size, kernel = reader.given("mamba_d_state", 16), reader.given("mamba_d_conv", 4)
        asked = reader.raw("mamba_dt_rank")
    rank = asked if isinstance(asked, int) and 0 < asked <= inner else -(-hidden // 16)
    matrices = (
        part("mamba.in_proj", 2 * inner, hidden),
        part("mamba.x_proj", rank + 2 * state_size, inner, out=False),
        part("mamba.dt_proj", inner, rank),
        part("mamba.out_proj", hidden, inner, out=False),
        small("mamba.conv1d", inner * (kernel + 1)),
        small("mamba.A", inner * (state_size + 1), 4),
    )
    state = (StatePiece(inner * (kernel - 1), 0, inner), StatePiece(inner * state_size, state_bytes(reader, 0), inner))
    return matrices, (Cache(CacheKind.STATE, state=state),)


def short_convolution(reader: ConfigReader, _family: Family) -> Piece:
    """LFM2: a gated convolution over a few tokens."""
    hidden = reader.given("conv_dim") or reader.positive("hidden_size")
    kernel = reader.given("conv_L_cache", 3)
    matrices = (
        part("conv.in_proj", 3 * hidden, hidden),
        part("conv.out_proj", hidden, hidden, out=False),
        small("conv.conv", hidden * kernel),
    )
    return matrices, (Cache(CacheKind.STATE, state=(StatePiece(hidden * (kernel - 1), 0, hidden),)),)


def lightning(reader: ConfigReader, _family: Family) -> Piece:
    """MiniMax-Text-01: linear attention with one square matrix per head."""
    hidden, heads = reader.positive("hidden_size"), reader.positive("num_attention_heads")
    size = reader.given("head_dim") or hidden // heads
    wide = heads * size
    matrices = (
        part("self_attn.qkv_proj", 3 * wide, hidden),
        part("self_attn.output_gate", wide, hidden),
        part("self_attn.out_proj", hidden, wide, out=False),
    )
    return matrices, (Cache(CacheKind.STATE, state=(StatePiece(heads * size * size, 4, heads),)),)
