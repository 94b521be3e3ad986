"""The real vLLM for CPUs: where it is, and how it is run quietly."""

from functools import cache
from pathlib import Path

from support.cluster import script

QUIET = {"VLLM_TARGET_DEVICE": "cpu", "VLLM_LOGGING_LEVEL": "ERROR", "HF_HUB_OFFLINE": "1"}


@cache
def real_python() -> Path:
    """The interpreter that has vLLM, installed on first use."""
    return Path(script("../vllm/install.sh")) / "bin/python"
