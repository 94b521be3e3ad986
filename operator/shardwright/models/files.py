"""A model's files as texts -> ModelProfile. They may come from a ConfigMap, a hub or a disk: nothing here reads them.

Raises `UnreadableModel` and nothing else.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from shardwright.api.reasons import Reason
from shardwright.models.checkpoint import checkpoint_from_text, with_checkpoint
from shardwright.models.errors import UnreadableModel
from shardwright.models.parse import parse_config
from shardwright.models.profile import ModelProfile

CONFIG = "config.json"
QUANT_CONFIG = "hf_quant_config.json"
"""ModelOpt's extra file; it counts where config.json itself states no quantisation."""
CHECKPOINT = "checkpoint.json"
"""Our own summary of the safetensors headers, in the form of `Checkpoint.as_text`."""
NOTE = "note.txt"
"""What could not be read of the model besides, as one sentence."""


def profile_from_files(files: Mapping[str, str], model_id: str, quantization: str | None = None) -> ModelProfile:
    """The profile. Raises `UnreadableModel`, also where there is no config.json."""
    if CONFIG not in files:
        raise UnreadableModel(Reason.UNKNOWN_MODEL, f"there is no {CONFIG}: put the model's {CONFIG} there")
    known = (CONFIG, QUANT_CONFIG, CHECKPOINT, NOTE)
    return _profile(tuple(files.get(name, "") for name in known), model_id, quantization)


@lru_cache(maxsize=512)
def _profile(texts: tuple[str, ...], model_id: str, quantization: str | None) -> ModelProfile:
    """Remembered: the same texts are read at each reconcile."""
    config_text, quant_text, checkpoint_text, note = texts
    config = _json(config_text, CONFIG)
    quant_config = _json(quant_text, QUANT_CONFIG) if quant_text else None
    profile = parse_config(config, model_id=model_id, quantization=quantization, quant_config=quant_config)
    checkpoint = checkpoint_from_text(checkpoint_text)
    if checkpoint is not None:
        own = parse_config(config, model_id=model_id, quant_config=quant_config) if quantization else profile
        profile = with_checkpoint(profile, own, checkpoint)
    return profile.with_assumptions(note) if note else profile


def _json(text: str, name: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableModel(
            Reason.UNKNOWN_MODEL, f"{name} is not JSON ({error}): copy the model's file as it is"
        ) from error
    if not isinstance(document, Mapping):
        raise UnreadableModel(Reason.UNKNOWN_MODEL, f"{name} is not a JSON object: copy the model's file as it is")
    return document
