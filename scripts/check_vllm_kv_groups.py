"""Compare our KV groups with those that vLLM itself makes, for every bundled model.

    PYTHONPATH=operator python scripts/check_vllm_kv_groups.py

Run with the Python of an environment that has vLLM 0.32. Our pages are given to vLLM as its own cache specs; groups,
bytes of a block and blocks of one request must come out equal. Exits with 1 and names what differs.
"""

import sys
from types import SimpleNamespace

import torch
from vllm.v1 import kv_cache_interface as vllm_specs
from vllm.v1.core import kv_cache_utils as vllm_groups

from shardwright.api.spec import EngineName
from shardwright.models.bundled import bundled_ids, bundled_profile
from shardwright.models.profile import CacheKind, ModelProfile
from shardwright.plan.memory_arguments import EngineArguments
from shardwright.plan.memory_kv import CROSS_TOKENS, pool_shape
from shardwright.plan.memory_pages import CacheCase, Page, layer_pages
from shardwright.plan.memory_versions import version_facts
from shardwright.plan.types import Layout

IN_FLIGHT = 16384
LONGEST = 131072
WINDOWS = {CacheKind.SLIDING: "SlidingWindowSpec", CacheKind.LATENT_SLIDING: "SlidingWindowMLASpec"}
OTHERS = {
    CacheKind.FULL: "FullAttentionSpec", CacheKind.LATENT: "MLAAttentionSpec", CacheKind.INDEX: "MLAAttentionSpec",
    CacheKind.CROSS: "CrossAttentionSpec",
}  # fmt: skip


def spec_of(page: Page, context: int) -> vllm_specs.KVCacheSpec:
    """One of our pages as vLLM's specification of a layer."""
    if page.kind is CacheKind.STATE:
        return vllm_specs.MambaSpec(
            block_size=context, shapes=((1,),), dtypes=(torch.uint8,), page_size_padded=page.page_bytes
        )
    shape = {"num_kv_heads": 1, "head_size": 1, "dtype": torch.uint8, "block_size": page.tokens}
    shape["state_content_bytes"] = max(1, page.page_bytes // page.tokens)
    if page.kind in (CacheKind.LATENT, CacheKind.LATENT_SLIDING, CacheKind.INDEX):
        shape["page_size_padded"] = page.page_bytes
    if page.kind in WINDOWS:
        return getattr(vllm_specs, WINDOWS[page.kind])(sliding_window=page.window, dcp_sharded=False, **shape)
    if page.kind is CacheKind.CHUNKED:
        return vllm_specs.ChunkedLocalAttentionSpec(attention_chunk_size=page.window, **shape)
    return getattr(vllm_specs, OTHERS[page.kind])(**shape)


def vllm_config(context: int, packs: bool) -> SimpleNamespace:
    """As much of vLLM's configuration as its grouping reads."""
    layout = SimpleNamespace(is_block_outermost=packs, is_block_compact=True, is_layer_compact=True, name="check")
    return SimpleNamespace(
        scheduler_config=SimpleNamespace(
            disable_hybrid_kv_cache_manager=False, max_num_encoder_input_tokens=CROSS_TOKENS
        ),
        attention_config=SimpleNamespace(hisparse_config=None),
        cache_config=SimpleNamespace(
            get_resolved_kv_cache_layout=lambda: layout, num_gpu_blocks_override=None, mamba_cache_mode="none"
        ),
        model_config=SimpleNamespace(max_model_len=context),
        parallel_config=SimpleNamespace(decode_context_parallel_size=1),
        speculative_config=None,
        max_in_flight_tokens=IN_FLIGHT,
    )


def differs(profile: ModelProfile, tensor: int) -> str:
    """What differs for one model and cut; empty where nothing does."""
    context = min(profile.max_context_length, LONGEST)
    facts = version_facts(EngineName.VLLM, "0.32.0")
    case = CacheCase(profile, Layout(tensor), EngineArguments(max_model_len=context), facts, False)
    pages = [page for _, page in layer_pages(case)]
    config = vllm_config(context, all(page.packs for page in pages))
    specs = {f"layer.{number}": spec_of(page, context) for number, page in enumerate(pages)}
    groups = vllm_groups.get_kv_cache_groups(config, specs)
    block_bytes = vllm_groups._pool_bytes_per_block(config, groups)
    wanted = vllm_groups._max_memory_usage_bytes_from_groups(config, groups) // block_bytes
    ours = pool_shape(case, context, IN_FLIGHT)
    theirs = (len(groups), block_bytes, wanted)
    mine = (ours.groups, ours.stage_block_bytes[0], ours.blocks_per_request)
    return "" if theirs == mine else f"vLLM (groups, block bytes, blocks a request) {theirs}, ours {mine}"


def main() -> None:
    """Every bundled model at TP 1, 2, 4 and 8."""
    checked, wrong = 0, 0
    for name in bundled_ids():
        profile = bundled_profile(name)
        for tensor in (1, 2, 4, 8):
            if profile.num_attention_heads % tensor or any(heads % tensor for heads in profile.state_heads):
                continue
            found = differs(profile, tensor)
            checked += 1
            wrong += bool(found)
            if found:
                sys.stdout.write(f"{name} TP{tensor}: {found}\n")
    sys.stdout.write(f"{checked} cases, {wrong} differ\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
