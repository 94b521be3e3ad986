"""The words of `spec.model.quantization` as an engine's options.

A word that names what the checkpoint already is needs no option; one that the engine can apply while loading becomes
one; any other is refused, because no engine can turn one quantised checkpoint into another.
"""

from shardwright.api.reasons import Reason
from shardwright.catalog.engine_options import EngineOptions
from shardwright.engines.context import UnrenderableError
from shardwright.models.profile import ModelProfile


def quantization_arguments(wanted: str | None, profile: ModelProfile, options: EngineOptions) -> list[str]:
    """Write the command-line words; raises UnrenderableError(UnknownQuantization)."""
    checkpoint = profile.checkpoint_quantization
    if not wanted or (checkpoint and checkpoint == profile.quantization):
        return []
    online = options.quantization.get("from_any_checkpoint", {})
    same = options.quantization.get("as_checkpoint", [])
    word = wanted.lower().replace("_", "-")
    if word in online and not checkpoint:
        return [f"--quantization={online[word]}"]
    if word in same and not checkpoint:
        return [] if word == "none" else [f"--dtype={word.replace('bf16', 'bfloat16').replace('fp', 'float')}"]
    what = f"the checkpoint is {checkpoint}" if checkpoint else "the checkpoint is not quantised"
    can = ", ".join(sorted(online)) or "nothing"
    raise UnrenderableError(
        Reason.UNKNOWN_QUANTIZATION,
        f"spec.model.quantization {wanted!r} cannot be served: {what}, and {options.engine} {options.version} can "
        f"quantise a plain checkpoint to {can} while it loads",
    )
