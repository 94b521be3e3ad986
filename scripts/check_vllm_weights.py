"""Compare our weights with those that vLLM itself allocates: each class is built without storage, and counted.

    PYTHONPATH=operator python scripts/check_vllm_weights.py [--tensor 1] [CONFIG.json ...]

Run with the Python of an environment that has vLLM 0.32. Without files, the default config of every class that both
transformers and vLLM know is taken. Prints what differs by more than 1 %, and what vLLM could not build here (towers
need torchvision; a few classes compute with their tensors and need a GPU). Quantised configs are left out: vLLM picks
their kernels by the GPU that it finds.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.update(VLLM_TARGET_DEVICE="cpu", HF_HUB_OFFLINE="1", VLLM_LOGGING_LEVEL="ERROR")

import torch
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from vllm.config import CacheConfig, DeviceConfig, ModelConfig, ParallelConfig, VllmConfig, set_current_vllm_config
from vllm.distributed import ensure_model_parallel_initialized, init_distributed_environment, parallel_state
from vllm.model_executor.model_loader.utils import initialize_model
from vllm.model_executor.models import registry
from vllm.utils.torch_utils import set_default_torch_dtype

from shardwright.models.errors import UnreadableModel
from shardwright.models.parse import parse_config
from shardwright.models.profile import Part
from shardwright.plan.memory_weights import NO_PADDING, shard_of
from shardwright.plan.types import Layout

TOLERANCE_PERMILLE = 10
ROTARY = ("cos_sin_cache", "inv_freq")


def default_configs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every class with its default numbers, as a config.json would state them."""
    known = set(registry.ModelRegistry.get_supported_archs())
    for model_type, architecture in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items():
        if architecture in known and model_type in CONFIG_MAPPING:
            config = CONFIG_MAPPING[model_type]().to_dict()
            config.pop("dtype", None)
            yield model_type, {**config, "architectures": [architecture], "torch_dtype": "bfloat16"}


def start(tensor: int) -> None:
    """One process that believes to be the first of a tensor group; classes are inspected in it, not in others."""
    registry._LazyRegisteredModel.inspect_model_cls = lambda self: registry._ModelInfo.from_model_cls(
        self.load_model_cls()
    )
    with set_current_vllm_config(VllmConfig()):
        init_distributed_environment(1, 0, f"tcp://127.0.0.1:{29500 + os.getpid() % 1000}", 0, "gloo")
        ensure_model_parallel_initialized(1, 1)
    parallel_state._TP.world_size, parallel_state._TP.ranks = tensor, list(range(tensor))


def theirs(config: dict[str, Any], tensor: int) -> int:
    """Bytes of all parameters and buffers of the first rank, rotary tables apart."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config))
        model_config = ModelConfig(model=folder, skip_tokenizer_init=True, enforce_eager=True)
        parallel = ParallelConfig()
        parallel.tensor_parallel_size = tensor
        whole = VllmConfig(
            model_config=model_config, cache_config=CacheConfig(block_size=16), parallel_config=parallel,
            device_config=DeviceConfig("cpu"),
        )  # fmt: skip
        with set_current_vllm_config(whole), set_default_torch_dtype(model_config.dtype), torch.device("meta"):
            model = initialize_model(whole)
    tensors = {id(t): t for n, t in (*model.named_parameters(), *model.named_buffers()) if not n.endswith(ROTARY)}
    return sum(t.numel() * t.element_size() for t in tensors.values())


def ours(config: dict[str, Any], tensor: int) -> int:
    """The same by our arithmetic."""
    profile = parse_config(config, model_id="check/weights")
    matrices = [*profile.embedding, *profile.head, *profile.vision, *profile.iter_matrices()]
    shards = (shard_of(m, profile, Layout(tensor), NO_PADDING) for m in matrices if m.part is not Part.ABSORBED)
    return sum(shard.values + shard.scales + shard.bias for shard in shards)


def main() -> None:
    """Check each config; exit with 1 where one differs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tensor", type=int, default=1)
    parser.add_argument("files", nargs="*", type=Path)
    asked = parser.parse_args()
    start(asked.tensor)
    configs = [(path.name, json.loads(path.read_text())) for path in asked.files] or default_configs()
    checked, wrong = 0, 0
    for name, config in configs:
        try:
            have, want = ours(config, asked.tensor), theirs(config, asked.tensor)
        except UnreadableModel as problem:
            sys.stdout.write(f"{name}: not read: {problem}\n")
            continue
        except Exception as problem:  # whatever a model class raises without a GPU
            sys.stdout.write(f"{name}: vLLM cannot build it here: {repr(problem)[:120]}\n")
            continue
        checked += 1
        if abs(have - want) * 1000 > want * TOLERANCE_PERMILLE:
            wrong += 1
            sys.stdout.write(
                f"{name} TP{asked.tensor}: vLLM {want:,}, ours {have:,} ({100 * (have - want) / want:+.1f} %)\n"
            )
    sys.stdout.write(f"{checked} classes, {wrong} differ\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
