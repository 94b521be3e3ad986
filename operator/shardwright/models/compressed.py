"""DeepSeek V4's attention: one shared key-value vector, compressed caches and sliding windows side by side.

Shapes and page layouts follow vLLM 0.32.0, models/deepseek_v4.py and v1/attention/backends/mla. Knows no version.
"""

from shardwright.models.attention import Piece
from shardwright.models.profile import Cache, CacheKind, Matrix, Part, Split
from shardwright.models.reader import ConfigReader


def compressed_attention(reader: ConfigReader, index: int) -> Piece:
    """The projections of a V4 layer, and its caches by compression ratio."""
    hidden, heads, size = reader.positive("hidden_size"), reader.positive("num_attention_heads"), reader.positive("head_dim")
    q_rank, o_rank, groups = reader.integer("q_lora_rank", 1024), reader.integer("o_lora_rank", 1024), reader.integer("o_groups", 8)
    matrices = [
        Matrix("self_attn.wq_a", Part.ATTENTION, q_rank, hidden, Split.WHOLE),
        Matrix("self_attn.wq_b", Part.ATTENTION, heads * size, q_rank),
        Matrix("self_attn.wkv", Part.ATTENTION, size, hidden, Split.WHOLE),
        Matrix("self_attn.wo_a", Part.ATTENTION, o_rank * groups, heads * size // max(1, groups)),
        Matrix("self_attn.wo_b", Part.ATTENTION, hidden, o_rank * groups, shard_outputs=False),
    ]
    ratios = reader.items("compress_ratios")
    ratio = ratios[index] if index < len(ratios) and isinstance(ratios[index], int) else 0
    window = reader.stated("sliding_window", 128) or 128
    caches = [Cache(CacheKind.LATENT_SLIDING, 1, size, 0, window)]
    if ratio > 1:
        overlap = 2 if ratio == 4 else 1
        matrices.append(Matrix("self_attn.compressor", Part.ATTENTION, 2 * overlap * size, hidden, Split.WHOLE, quantizable=False))
        caches.append(Cache(CacheKind.LATENT, 1, size, 0, tokens_per_state=ratio))
    if ratio == 4 and reader.stated("index_n_heads"):
        index_heads, index_size = reader.stated("index_n_heads"), reader.integer("index_head_dim", 128)
        matrices.append(Matrix("self_attn.indexer.wq_b", Part.ATTENTION, index_heads * index_size, q_rank, Split.WHOLE))
        matrices.append(Matrix("self_attn.indexer.weights_proj", Part.ATTENTION, index_heads, hidden, Split.WHOLE, quantizable=False))
        matrices.append(Matrix("self_attn.indexer.compressor", Part.ATTENTION, 4 * index_size, hidden, Split.WHOLE, quantizable=False))
        caches.append(Cache(CacheKind.INDEX, 1, index_size, 0, tokens_per_state=ratio))
    return tuple(matrices), tuple(caches)
