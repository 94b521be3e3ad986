"""The vision tower of a multimodal model as matrices.

An unknown one is built as a plain transformer from what it states.
"""

from dataclasses import dataclass

from shardwright.models.profile import Matrix, Part
from shardwright.models.reader import ConfigReader, text_of


@dataclass(frozen=True, slots=True)
class Tower:
    """A vision tower, reduced."""

    matrices: tuple[Matrix, ...] = ()
    heads: int = 0
    hidden_size: int = 0
    tokens: int = 0
    input_bytes: int = 0
    """Bytes of pixels behind one token."""


NAMED_TOWERS = {
    "openai/clip-vit-large-patch14-336": {
        "model_type": "clip_vision_model", "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
        "intermediate_size": 4096, "patch_size": 14, "image_size": 336,
    },
}  # fmt: skip
"""Towers that a config names and does not describe; source: their own published configs."""
SECTIONS = ("vision_config", "vision_tower_config", "vit_config", "visual", "vision_encoder")


def vision_reader(outer: ConfigReader) -> ConfigReader | None:
    """A reader of the vision part; None for a text model."""
    thinker = ConfigReader(outer.mapping("thinker_config"))
    for key in SECTIONS:
        section = outer.mapping(key) or thinker.mapping(key)
        if section:
            implied = outer.defaults.get("vision_config")
            model_type = text_of(section.get("model_type")) or (implied if isinstance(implied, str) else "")
            if isinstance(implied, str) and model_type == outer.model_type:
                model_type = implied
            return ConfigReader(section, model_type, f"config.json {key}")
    named = NAMED_TOWERS.get(text_of(outer.mapping("img_processor").get("model_name")))
    return ConfigReader(named) if named else None


def first(reader: ConfigReader, *keys: str, default: int = 0) -> int:
    """The first key that is stated, else the first class default."""
    stated = next((reader.stated(k) for k in keys if reader.stated(k)), 0)
    return (
        stated or next((reader.integer(k, 0) for k in keys if reader.class_default(k) is not None), default) or default
    )


def read_tower(outer: ConfigReader, text_hidden: int) -> Tower:
    """The tower and its projector into the language model."""
    reader = vision_reader(outer)
    if reader is None:
        return Tower()
    hidden = first(reader, "vt_hidden_size", "embed_dim", "hidden_size", "width", default=1024)
    if reader.model_type.startswith("qwen2_vl"):
        hidden = first(reader, "embed_dim", default=1280)
    depth = min(512, first(reader, "vt_num_hidden_layers", "depth", "num_hidden_layers", "layers", default=24))
    depth += reader.stated("num_global_layers")
    heads = first(reader, "vt_num_attention_heads", "num_attention_heads", "num_heads", "attention_heads", default=16)
    inner = block_width(reader, hidden)
    qkv = reader.stated("qkv_hidden_size") or hidden
    shared = min(heads, reader.stated("num_key_value_heads") or heads)
    patch, frames = first(reader, "patch_size", default=14), reader.stated("temporal_patch_size", 1) or 1
    gated = reader.model_type in GATED
    matrices = [
        Matrix("vision.patch_embed", Part.VISION, hidden, 3 * frames * patch * patch, bias=True, quantizable=False),
        Matrix(
            "vision.qkv",
            Part.VISION,
            qkv + 2 * qkv * shared // heads,
            hidden,
            bias=True,
            count=depth,
            quantizable=False,
        ),
        Matrix("vision.proj", Part.VISION, hidden, qkv, bias=True, count=depth, quantizable=False),
        Matrix(
            "vision.mlp", Part.VISION, inner, hidden, bias=True, count=depth * (3 if gated else 2), quantizable=False
        ),
        *merger(reader, hidden, text_hidden),
    ]
    positions = first(reader, "num_position_embeddings", "position_embedding_size")
    if positions:
        matrices.append(Matrix("vision.positions", Part.VISION, positions, hidden, quantizable=False))
    tokens = image_tokens(reader, outer, patch)
    pixels = patches_per_token(reader, patch, tokens) * 3 * frames * patch * patch * 2
    return Tower(tuple(matrices), heads, hidden, tokens, pixels)


GATED = frozenset(
    {
        "qwen2_5_vl", "qwen2_5_vl_vision", "pixtral", "mistral3", "glm4v_vision", "glm4v_moe_vision", "glm_ocr_vision",
        "glm5_next_vision", "exaone4_5_vision", "hunyuan_vl_vision",
        "qwen2_5_omni_vision_encoder",
    }
)  # fmt: skip
"""Towers whose blocks have three matrices instead of two. Source: vLLM 0.32.0, model_executor/models."""
DOWNSAMPLED = frozenset({"glm4v_vision", "glm4v_moe_vision", "glm_ocr_vision"})
"""Towers whose tokens are merged by a convolution and then pass a gated MLP. Source: vLLM 0.32.0, glm4_1v.py."""


def block_width(reader: ConfigReader, hidden: int) -> int:
    """Inner size of a block: as stated, else a ratio of the hidden size; GLM-4V states its merger's there."""
    if reader.model_type in ("glm4v_vision", "glm4v_moe_vision"):
        return first(reader, "out_hidden_size", "intermediate_size", default=4 * hidden)
    ratio = reader.raw("mlp_ratio")
    times = ratio if isinstance(ratio, int | float) and 0 < ratio < 64 else 4
    return first(reader, "vt_intermediate_size", "intermediate_size") or int(hidden * times)


def downsampled(reader: ConfigReader, hidden: int, merge: int, out: int) -> list[Matrix]:
    """GLM-4V's merger: a convolution, a projection, and a gated MLP as wide as the config's intermediate size."""
    narrow = reader.model_type == "glm_ocr_vision"
    wide = out * reader.integer("in_channels", 3) if narrow else first(reader, "intermediate_size", default=4 * out)
    shapes = ((out, hidden * merge * merge), (out, out), (2 * wide, out), (out, wide))
    return [Matrix("vision.merger", Part.VISION, rows, columns, quantizable=False) for rows, columns in shapes]


def merge_size(reader: ConfigReader) -> int:
    """Patches on each side that one token takes; 0 = not stated."""
    kernel = reader.items("merge_kernel_size")
    stated = reader.stated("spatial_merge_size")
    return stated or (kernel[0] if kernel and isinstance(kernel[0], int) and 0 < kernel[0] < 64 else 0)


def merger(reader: ConfigReader, hidden: int, text_hidden: int) -> list[Matrix]:
    """The projector; Qwen's merges patches first and has one more per deep-stack index."""
    merge = merge_size(reader)
    out = reader.stated("out_hidden_size") or reader.stated("text_hidden_size") or text_hidden
    if not merge:
        wide = reader.stated("vision_output_dim") or hidden
        return [
            Matrix("vision.projector", Part.VISION, out, wide, quantizable=False),
            Matrix("vision.projector", Part.VISION, out, out, quantizable=False),
        ]
    if reader.model_type in DOWNSAMPLED:
        return downsampled(reader, hidden, merge, out)
    wide = hidden * merge * merge
    count = 1 + len(reader.items("deepstack_visual_indexes"))
    return [
        Matrix("vision.merger.0", Part.VISION, wide, wide, bias=True, count=count, quantizable=False),
        Matrix("vision.merger.1", Part.VISION, out, wide, bias=True, count=count, quantizable=False),
    ]


def patches_per_token(reader: ConfigReader, patch: int, tokens: int) -> int:
    """Patches that are merged into one token."""
    merge, size = merge_size(reader), reader.stated("image_size")
    if merge:
        return merge * merge
    return max(1, (size // patch) ** 2 // tokens) if size and patch and tokens else 1


def image_tokens(reader: ConfigReader, outer: ConfigReader, patch: int) -> int:
    """Tokens of one full image where the config tells; 0 = it depends on the picture."""
    stated = (
        outer.stated("mm_tokens_per_image")
        or outer.stated("vision_soft_tokens_per_image")
        or outer.stated("image_seq_length")
    )
    if stated:
        return stated
    size = reader.stated("image_size")
    return (size // patch) ** 2 if size and patch and reader.stated("spatial_merge_size") == 0 else 0
