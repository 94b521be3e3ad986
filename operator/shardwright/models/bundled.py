"""Profiles of the models that the package knows by id.

The rows are configs, read by the same parser as a user's file.
"""

from functools import lru_cache

from shardwright.api.reasons import Reason
from shardwright.catalog.model_rows import bundled_configs
from shardwright.models.errors import UnreadableModel
from shardwright.models.parse import parse_config
from shardwright.models.profile import ModelProfile


@lru_cache(maxsize=512)
def bundled_profile(model_id: str, quantization: str | None = None) -> ModelProfile:
    """The profile of a bundled model, by its id in any case. Raises `UnreadableModel` for an unknown one."""
    rows = bundled_configs()
    name = bundled_name(model_id)
    if name is None:
        raise UnreadableModel(
            Reason.UNKNOWN_MODEL,
            f"model {model_id!r} is not in the bundled catalogue: give its config.json (in a spec: model.facts)",
        )
    row = rows[name]
    return parse_config(row["config"], model_id=name, quantization=quantization, quant_config=row.get("quant_config"))


@lru_cache(maxsize=2048)
def bundled_name(model_id: str) -> str | None:
    """The id as the catalogue spells it; None where it does not know the model."""
    rows = bundled_configs()
    return model_id if model_id in rows else next((known for known in rows if known.lower() == model_id.lower()), None)


def bundled_ids() -> tuple[str, ...]:
    """All bundled ids, sorted."""
    return tuple(sorted(bundled_configs()))
