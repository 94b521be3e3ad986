"""DeepSeek V4's attention: one shared key-value vector, compressed caches and sliding windows side by side.

Shapes and page layouts follow vLLM 0.32.0, models/deepseek_v4.py and v1/attention/backends/mla. Knows no version.
"""

from dataclasses import replace

from shardwright.models.attention import Piece
from shardwright.models.profile import Cache, CacheKind, Matrix, Part, Split
from shardwright.models.reader import ConfigReader


def compressed_attention(reader: ConfigReader, index: int) -> Piece:
    """The projections of a V4 layer, and its caches by compression ratio."""
    hidden, heads, size = (
        reader.positive("hidden_size"),
        reader.positive("num_attention_heads"),
        reader.positive("head_dim"),
    )
    q_rank, o_rank, groups = (
        reader.integer("q_lora_rank", 1024),
        reader.integer("o_lora_rank", 1024),
        reader.integer("o_groups", 8),
    )
    matrices = [
        Matrix("self_attn.wq_a", Part.ATTENTION, q_rank, hidden, Split.WHOLE),
        Matrix("self_attn.wq_b", Part.ATTENTION, heads * size, q_rank),
        Matrix("self_attn.wkv", Part.ATTENTION, size, hidden, Split.WHOLE),
        Matrix("self_attn.wo_a", Part.ATTENTION, o_rank * groups, heads * size // max(1, groups)),
        Matrix("self_attn.wo_b", Part.ATTENTION, hidden, o_rank * groups, shard_outputs=False),
    ]
    ratios = reader.items("compress_ratios")
    ratio = ratios[index] if index < len(ratios) and isinstance(ratios[index], int) else 0
    caches = [vector_cache(CacheKind.LATENT_SLIDING, size, 64, window=reader.stated("sliding_window", 128) or 128)]
    if ratio > 1:
        overlap = 2 if ratio == OVERLAPPING else 1
        matrices.append(
            Matrix("self_attn.compressor", Part.ATTENTION, 2 * overlap * size, hidden, Split.WHOLE, quantizable=False)
        )
        caches.append(vector_cache(CacheKind.LATENT, size, BLOCK, ratio=ratio))
        caches.append(partial_state(2 * overlap * size, ratio, overlap))
    if ratio == OVERLAPPING and reader.stated("index_n_heads"):
        index_heads, index_size = reader.stated("index_n_heads"), reader.integer("index_head_dim", 128)
        matrices.append(Matrix("self_attn.indexer.wq_b", Part.ATTENTION, index_heads * index_size, q_rank, Split.WHOLE))
        matrices.append(
            Matrix(
                "self_attn.indexer.weights_proj", Part.ATTENTION, index_heads, hidden, Split.WHOLE, quantizable=False
            )
        )
        matrices.append(
            Matrix(
                "self_attn.indexer.compressor", Part.ATTENTION, 4 * index_size, hidden, Split.WHOLE, quantizable=False
            )
        )
        caches.append(index_cache(index_size, ratio))
        caches.append(partial_state(4 * index_size, ratio, 2))
    return tuple(matrices), tuple(caches)


BLOCK = 256
ALIGNMENT = 576
OVERLAPPING = 4
"""The compression ratio whose windows overlap, and whose layers have an indexer."""
ROPE_DIM = 64


def vector_cache(kind: CacheKind, size: int, block: int, *, ratio: int = 1, window: int = 0) -> Cache:
    """One latent vector: fp8 without its rotary part, that part in bfloat16, and one scale per 64 values."""
    packed = size - ROPE_DIM + 2 * ROPE_DIM + size // 64
    return Cache(
        kind, 1, size, 0, window, ratio, packed_bytes=packed, block_tokens=block, page_alignment=ALIGNMENT, packs=True
    )


def partial_state(elements: int, ratio: int, overlap: int) -> Cache:
    """What a compressor keeps of tokens that do not make a whole group yet.

    Float32, in blocks as large as a vector page.
    """
    block = 4 if ratio == OVERLAPPING else 8
    cache = Cache(CacheKind.LATENT_SLIDING, 1, elements, 0, overlap * ratio, packed_bytes=4 * elements)
    return replace(cache, block_tokens=block, page_alignment=ALIGNMENT, packs=True)


def index_cache(size: int, ratio: int) -> Cache:
    """One fp8 key of the indexer with its scale."""
    cache = Cache(CacheKind.INDEX, 1, size, 0, tokens_per_state=ratio, packed_bytes=size + 4)
    return replace(cache, block_tokens=BLOCK, page_alignment=ALIGNMENT, packs=True)
