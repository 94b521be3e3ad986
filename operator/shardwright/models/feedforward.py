"""Feed-forward layers as matrices: gated or plain MLPs, routers, routed and shared experts."""

from shardwright.models.family import Family
from shardwright.models.profile import Matrix, Part, Split
from shardwright.models.reader import ConfigReader


def dense_size(reader: ConfigReader, index: int) -> int:
    """Intermediate size of a dense MLP in this layer; 0 = the layer has none."""
    blocks = reader.items("block_configs")
    if index < len(blocks):
        return block_size(reader, blocks[index])
    for key in ("intermediate_size_mlp", "dense_intermediate_size", "ff_intermediate_size"):
        if reader.stated(key):
            return reader.stated(key)
    if reader.stated("decoder_layers") and reader.stated("decoder_ffn_dim"):
        return reader.stated("decoder_ffn_dim")
    return reader.integer("intermediate_size", 4 * reader.positive("hidden_size"))


def block_size(reader: ConfigReader, block: object) -> int:
    """Nemotron-NAS: a multiplier of the hidden size, times 2/3, rounded up to 256."""
    inner = block.get("ffn") if isinstance(block, dict) else None
    if not isinstance(inner, dict) or inner.get("no_op"):
        return 0
    multiplier = inner.get("ffn_mult")
    if not isinstance(multiplier, int | float) or not 0 < multiplier < 100:
        return reader.integer("intermediate_size", 4 * reader.positive("hidden_size"))
    size = int(2 * multiplier * reader.positive("hidden_size") / 3)
    return -(-size // 256) * 256


def expert_size(reader: ConfigReader) -> int:
    """Intermediate size of one routed expert."""
    return reader.given("moe_intermediate_size") or reader.integer("intermediate_size", 0)


def shared_size(reader: ConfigReader) -> int:
    """Intermediate size of all shared experts together; 0 = none."""
    stated = reader.given("shared_expert_intermediate_size")
    count = reader.given("num_shared_experts")
    if stated:
        return stated * (count if reader.raw("moe_shared_expert_intermediate_size") is None and count > 1 else 1)
    if reader.model_type == "llama4_text":
        return expert_size(reader)
    return expert_size(reader) * count


def mlp(  # a shape is many numbers
    name: str, part: Part, size: int, hidden: int, family: Family, *, bias: bool = False
) -> tuple[Matrix, ...]:
    """Up (and gate) and down."""
    ups = ("up_proj",) if family.word("mlp") == "plain" else ("gate_proj", "up_proj")
    return (
        *(Matrix(f"{name}.{up}", part, size, hidden, bias=bias) for up in ups),
        Matrix(f"{name}.down_proj", part, hidden, size, bias=bias, shard_outputs=False),
    )


def dense(reader: ConfigReader, family: Family, index: int) -> tuple[Matrix, ...]:
    """The dense MLP of a layer."""
    size = dense_size(reader, index)
    if not size:
        return ()
    name = family.word("feedforward", "mlp")
    name = "mlp" if name == "block_sparse_moe" else name
    return mlp(
        name,
        Part.MLP,
        size,
        reader.positive("hidden_size"),
        family,
        bias=family.flag("mlp_bias") or reader.flag("mlp_bias"),
    )


def mixture(reader: ConfigReader, family: Family) -> tuple[Matrix, ...]:
    """Router, routed experts and shared experts of a layer."""
    hidden, experts, size = reader.positive("hidden_size"), reader.positive("num_experts"), expert_size(reader)
    name = family.word("mixture") or family.word("feedforward", "mlp")
    narrow = reader.stated("moe_latent_size") or reader.stated("routed_expert_hidden_size") or hidden
    bias = family.flag("expert_bias")
    ups = ("up_proj",) if family.word("mlp") == "plain" else ("gate_proj", "up_proj")
    matrices = [
        Matrix(
            f"{name}.gate",
            Part.ROUTER,
            experts,
            hidden,
            Split.WHOLE,
            bias=family.flag("router_bias"),
            quantizable=False,
        ),
        *(
            Matrix(f"{name}.experts.{up}", Part.EXPERT, size, narrow, Split.EXPERTS, count=experts, bias=bias)
            for up in ups
        ),
        Matrix(
            f"{name}.experts.down_proj",
            Part.EXPERT,
            narrow,
            size,
            Split.EXPERTS,
            count=experts,
            bias=bias,
            shard_outputs=False,
        ),
    ]
    if narrow != hidden:
        matrices.append(Matrix(f"{name}.fc1_latent_proj", Part.MLP, narrow, hidden, Split.WHOLE))
        matrices.append(Matrix(f"{name}.fc2_latent_proj", Part.MLP, hidden, narrow, Split.WHOLE))
    shared = shared_size(reader)
    if shared:
        matrices += mlp(f"{name}.shared_experts", Part.SHARED_EXPERT, shared, hidden, family)
        if family.flag("shared_gate"):
            matrices.append(
                Matrix(f"{name}.shared_expert_gate", Part.ROUTER, 1, hidden, Split.WHOLE, quantizable=False)
            )
    return tuple(matrices)
