"""Models, pools and requests for planning tests, each case naming only what matters to it."""

from dataclasses import replace
from typing import Any

from shardwright.api.spec import CrossIslands, EngineName, Priority
from shardwright.catalog.load import gpu_catalog
from shardwright.catalog.types import GpuProduct, LinkKind, NetworkKind
from shardwright.inventory import Inventory, Pool, PoolNode
from shardwright.models.parse import parse_config
from shardwright.models.profile import ModelProfile
from shardwright.plan.types import LayoutPins, PlanRequest


def dense(
    *,
    layers: int = 32,
    hidden: int = 4096,
    heads: int = 32,
    kv_heads: int = 8,
    inner: int = 14336,
    vocabulary: int = 128256,
    context: int = 131072,
    quantization: str | None = None,
    **extra: Any,
) -> ModelProfile:
    """A Llama-shaped model; the default has 8 billion parameters."""
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": layers,
        "hidden_size": hidden, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "intermediate_size": inner,
        "vocab_size": vocabulary, "max_position_embeddings": context, "torch_dtype": "bfloat16",
        "tie_word_embeddings": False, **extra,
    }  # fmt: skip
    return parse_config(config, model_id="test/dense", quantization=quantization)


def dense_70b(**changes: Any) -> ModelProfile:
    """A Llama-shaped model of 70 billion parameters."""
    return dense(**{"layers": 80, "hidden": 8192, "heads": 64, "inner": 28672, **changes})


def mixture(
    *,
    layers: int = 32,
    experts: int = 64,
    per_token: int = 4,
    expert_inner: int = 1536,
    quantization: str | None = None,
) -> ModelProfile:
    """A Qwen3-MoE-shaped model; the default has 39 billion parameters."""
    config = {
        "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "num_hidden_layers": layers,
        "hidden_size": 4096, "num_attention_heads": 64, "num_key_value_heads": 4, "head_dim": 128,
        "intermediate_size": 12288, "moe_intermediate_size": expert_inner, "num_experts": experts,
        "num_experts_per_tok": per_token, "vocab_size": 151936, "max_position_embeddings": 40960,
        "torch_dtype": "bfloat16", "tie_word_embeddings": False, "decoder_sparse_step": 1, "mlp_only_layers": [],
    }  # fmt: skip
    return parse_config(config, model_id="test/mixture", quantization=quantization)


def gpu(name: str) -> GpuProduct:
    """A row of the catalogue."""
    product = gpu_catalog().get(name)
    assert product, f"{name} is not in the catalogue"
    return product


def pool(
    name: str = "h100-sxm-8",
    product: str = "H100-SXM",
    *,
    nodes: int = 1,
    gpus: int = 8,
    free: int | list[int] | None = None,
    islands: int | None = None,
    link: LinkKind | None = None,
    network: NetworkKind = NetworkKind.INFINIBAND,
    network_bandwidth: int = 50 * 10**9,
    domains: list[str] | None = None,
    **changes: Any,
) -> Pool:
    """Nodes `<name>-1`, `<name>-2`, …; `islands`: GPUs of each island (default: all of the node's)."""
    row = gpu(product)
    size = islands or gpus
    room = free if isinstance(free, list) else [gpus if free is None else free] * nodes
    return replace(
        Pool(
            name=name,
            product=row,
            gpu_resource="nvidia.com/gpu",
            gpus_per_node=gpus,
            memory_bytes=row.memory_bytes,
            link=link or row.link,
            link_bandwidth=row.link_bandwidth,
            islands=tuple(tuple(range(first, first + size)) for first in range(0, gpus, size)),
            cross_island_bandwidth=min(row.pcie_bandwidth or row.link_bandwidth, row.link_bandwidth),
            network=network,
            network_bandwidth=network_bandwidth,
            nodes=tuple(
                PoolNode(
                    f"{name}-{number + 1}",
                    gpus,
                    room[number],
                    (),
                    (),
                    fabric_domain=(domains or [None] * nodes)[number],
                )
                for number in range(nodes)
            ),
            selector=(("nvidia.com/gpu.product", product),),
        ),
        **changes,
    )


def inventory(*pools: Pool) -> Inventory:
    """An inventory of these pools and nothing skipped."""
    return Inventory(tuple(sorted(pools, key=lambda p: p.name)))


def request(model: ModelProfile | None = None, **changes: Any) -> PlanRequest:
    """A request for the 8B model at 8k with every other field at its default."""
    return replace(
        PlanRequest(
            model=model or dense(), engine=EngineName.VLLM, engine_version="0.32.0", quantization=None, engine_args=(),
            priority=Priority.THROUGHPUT, context_length=8192, concurrency=None, typical_prompt_tokens=1024,
            typical_output_tokens=256, pins=LayoutPins(), replicas=None, max_replicas=None, max_gpus=None,
            fill_free_gpus=False, node_selector=(), tolerations=(), gpu_products=(), gpu_prices_micro=(),
            allow_mixed_products=False, cross_islands=CrossIslands.WHEN_NOTHING_ELSE_FITS,
        ),
        **changes,
    )  # fmt: skip
