"""How many GPUs this container was given, in the words in which containers are told.

A device plugin sets NVIDIA_VISIBLE_DEVICES (CUDA) or ROCR_VISIBLE_DEVICES and HIP_VISIBLE_DEVICES (ROCm) to a list;
CUDA_VISIBLE_DEVICES narrows it. Where none is set, the knob `FAKE_ENGINE_GPUS` says it.
"""

from collections.abc import Mapping

PLUGIN = ("NVIDIA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
NONE = {"", "none", "void"}


def granted(environment: Mapping[str, str], knob: int) -> int | None:
    """GPUs granted; None when nothing says it."""
    counts = [_count(environment[name]) for name in (*PLUGIN, "CUDA_VISIBLE_DEVICES") if name in environment]
    told = [count for count in counts if count is not None]
    if told:
        return min(told)
    return knob or None


def _count(value: str) -> int | None:
    """Devices in a list of indices or ids; None for `all`, which tells no number."""
    if value.strip().lower() in NONE:
        return 0
    return None if value.strip().lower() == "all" else len([part for part in value.split(",") if part.strip()])
