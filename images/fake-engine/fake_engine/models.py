"""What the checks must know of a model: heads, experts, context. From a folder's `config.json`, else from a table by id."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from fake_engine.refusal import Refused, invalid

NO_PIPELINE = ("Gemma3n", "Mamba2", "Zamba2", "Idefics3", "SmolVLM", "AriaFor", "Phi4MM", "Whisper")
CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Zero and empty mean unknown; a check that needs what is unknown passes."""

    architecture: str = ""
    heads: int = 0
    kv_heads: int = 0
    experts: int = 0
    context: int = 0
    mla: bool = False

    @property
    def known(self) -> bool:
        """Whether anything is known."""
        return self.heads > 0

    @property
    def pipeline_supported(self) -> bool:
        """Whether vLLM's class for it can be cut into stages."""
        return not self.architecture.startswith(NO_PIPELINE)


@cache
def _table() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(
        resources.files("fake_engine.data").joinpath("models.json").read_text()
    )
    return found


def _from_config(config: dict[str, Any]) -> ModelFacts:
    text = {**config, **(config.get("text_config") or config.get("llm_config") or {})}

    def first(*keys: str) -> int:
        return next((text[key] for key in keys if text.get(key)), 0)

    heads = first("num_attention_heads", "n_head", "num_heads")
    return ModelFacts(
        architecture=(config.get("architectures") or [""])[0],
        heads=heads,
        kv_heads=first("num_key_value_heads", "multi_query_group_num") or heads,
        experts=first("num_experts", "moe_num_experts", "n_routed_experts", "num_local_experts"),
        context=first(*CONTEXT_KEYS),
        mla="kv_lora_rank" in text,
    )


def found_offline(model: str, revision: str | None, environment: Mapping[str, str]) -> None:
    """Without a network a Hub id must be in the cache, as huggingface_hub looks for it: refs, then snapshots."""
    cache = environment.get("HF_HUB_CACHE", "")
    if environment.get("HF_HUB_OFFLINE") != "1" or not cache or Path(model).is_absolute():
        return
    folder = Path(cache) / f"models--{model.replace('/', '--')}"
    name = revision or "main"
    reference = folder / "refs" / name
    commit = reference.read_text() if reference.is_file() else name
    snapshot = folder / "snapshots" / commit
    if not (snapshot / "config.json").is_file() or not any(snapshot.glob("*.safetensors")):
        raise Refused(
            "Cannot find an appropriate cached snapshot folder for the specified revision on the local disk and outgoing "
            "traffic has been disabled. To enable repo look-ups and downloads online, pass 'local_files_only=False' as input.",
            "huggingface_hub.errors.LocalEntryNotFoundError",
        )


def model_facts(model: str) -> ModelFacts:
    """The facts of a Hub id or a folder. A folder without a readable `config.json` is refused, as vLLM refuses it."""
    folder = Path(model)
    if folder.is_absolute() or model.startswith("."):
        try:
            return _from_config(json.loads((folder / "config.json").read_text()))
        except (OSError, ValueError) as unreadable:
            raise invalid(
                "ModelConfig",
                f"Invalid repository ID or local directory specified: '{model}'.\nPlease verify the following "
                "requirements:\n1. Provide a valid Hugging Face repository ID.\n2. Specify a local directory that contains "
                f"a recognized configuration file. ({unreadable})",
            ) from unreadable
    return ModelFacts(**_table().get(model, {}))
