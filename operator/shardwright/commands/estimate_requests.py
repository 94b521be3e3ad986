"""One estimate request as JSON -> one answer as JSON, for batches. The form of both is the contract in docs/memory.md.

Reads config files from the paths a request names; knows no cluster.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from shardwright.api.reasons import Reason
from shardwright.api.spec import EngineName
from shardwright.catalog.load import gpu_catalog
from shardwright.catalog.types import GpuProduct
from shardwright.models.bundled import bundled_profile
from shardwright.models.errors import UnreadableModel
from shardwright.models.parse import parse_config
from shardwright.models.profile import ModelProfile
from shardwright.plan.memory import EngineArguments, forecast
from shardwright.plan.types import Layout, MemoryForecast

MIB = 1 << 20
REPORTED_PERCENT = 98
"""Of an unknown product's memory, what its runtime reports."""
GIGABYTE = 1_000_000_000


class UnusableRequest(Exception):  # noqa: N818  # a statement about the request
    """The request cannot be answered; the text says why."""


@lru_cache(maxsize=1024)
def read_json(path: str) -> Any:  # any JSON
    """A JSON file. Raises `UnusableRequest`."""
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise UnusableRequest(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UnusableRequest(f"{path} cannot be read as JSON: {error}") from error


def quant_file(path: str) -> Any:  # any JSON
    """ModelOpt's extra file beside a config.json; None where there is none."""
    config = Path(path)
    for name in (config.name.removesuffix(".json") + ".hf_quant_config.json", "hf_quant_config.json"):
        beside = config.with_name(name)
        if beside.is_file():
            return read_json(str(beside))
    return None


MODEL_OPTIONS = ("quantization", "dtype")
"""Engine options that say how the model is stored, rather than how the engine works."""


@lru_cache(maxsize=1024)
def profile_of(path: str, model_id: str, word: str | None, own: bool, dtype: str | None) -> ModelProfile:
    """The profile of a config file. Raises `UnusableRequest` or `UnreadableModel`."""
    config = read_json(path)
    return parse_config(
        config,
        model_id=model_id,
        quantization=word,
        quant_config=quant_file(path) if own else None,
        own_quantization=own,
        dtype=dtype,
    )


def read_profile(model: Mapping[str, Any]) -> ModelProfile:
    """The model of a request: from its config, else from the catalogue by id."""
    model_id, path = str(model.get("model_id") or "model"), model.get("config")
    word = model.get("quantization")
    if not isinstance(path, str) or not path:
        return bundled_profile(model_id, word if isinstance(word, str) else None)
    own = model.get("config_match") != "same_architecture_by_name"
    dtype = model.get("dtype")
    return profile_of(
        path, model_id, word if isinstance(word, str) else None, own, dtype if isinstance(dtype, str) else None
    )


def read_gpu(gpu: Mapping[str, Any]) -> tuple[GpuProduct, int]:
    """(product, memory in bytes as the runtime reports it). Raises `UnusableRequest`."""
    text, marketing, exact = str(gpu.get("product") or ""), gpu.get("marketing_gb"), gpu.get("memory_mib")
    hint = int(marketing * 1024) if isinstance(marketing, int | float) and 0 < marketing < 10_000 else None
    found = gpu_catalog().find(text, memory_mib=hint)
    product = found.product if found else unknown_gpu(text, hint)
    memory = product.memory_bytes
    if hint and abs(product.memory_bytes - hint * MIB) * 4 > hint * MIB:
        memory = hint * MIB * REPORTED_PERCENT // 100
    if isinstance(exact, int | float) and 0 < exact < 1 << 40:
        memory = int(exact) * MIB
    return replace(product, memory_bytes=memory), memory


def unknown_gpu(text: str, memory_mib: int | None) -> GpuProduct:
    """A product that only its stated memory describes. Raises `UnusableRequest` without one."""
    if not memory_mib:
        raise UnusableRequest(
            f"GPU {text!r} is not in the catalogue and no memory is given: "
            "add marketing_gb or memory_mib (--gpu-memory-gb)"
        )
    like = gpu_catalog().products[0]
    return replace(like, name=text or "unknown", memory_bytes=memory_mib * MIB * REPORTED_PERCENT // 100)


def read_layout(request: Mapping[str, Any]) -> Layout:
    """The layout of a request. Raises `UnusableRequest`."""
    layout = request.get("layout") or {}
    sizes = []
    for key in ("tensor", "pipeline", "data"):
        size = layout.get(key) or 1
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= 65_536:
            raise UnusableRequest(f"layout.{key} is {size!r}: give a whole number from 1 to 65536")
        sizes.append(size)
    nodes = request.get("nodes") or 1
    tensor, pipeline, data = sizes
    return Layout(
        tensor, pipeline, data, bool(layout.get("expert")), nodes if isinstance(nodes, int) and nodes > 0 else 1
    )


def asked_model(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request's model, with what the engine's options say of its storage where the model itself says nothing."""
    model, options = dict(request.get("model") or {}), request.get("engine_args") or {}
    for word in MODEL_OPTIONS:
        said = options.get(word) or options.get(f"--{word}")
        if not model.get(word) and isinstance(said, str):
            model[word] = said
    return model


def estimate(request: Mapping[str, Any]) -> MemoryForecast:
    """The forecast that a request asks for. Raises `UnusableRequest` or `UnreadableModel`."""
    engine = request.get("engine") or {}
    try:
        name = EngineName(engine.get("name") or "vllm")
    except ValueError as error:
        raise UnusableRequest(f"engine {engine.get('name')!r} is not known: use vllm or trtllm") from error
    profile = read_profile(asked_model(request))
    product, memory = read_gpu(request.get("gpu") or {})
    layout = read_layout(request)
    arguments = EngineArguments.from_options((request.get("engine_args") or {}).items())
    version = engine.get("version")
    return forecast(profile, layout, product, memory, name, version if isinstance(version, str) else None, arguments)


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to one request; an error is an answer too."""
    name = request.get("id")
    try:
        result = estimate(request)
    except UnreadableModel as error:
        return {"id": name, "error": error.message, "reason": str(error.reason)}
    except (UnusableRequest, AttributeError, TypeError, ValueError) as error:
        return {"id": name, "error": str(error) or type(error).__name__, "reason": str(Reason.SPEC_INVALID)}
    return {
        "id": name,
        "fits": result.fits,
        "reasons": [str(reason) for reason in result.reasons],
        "kv_cache_tokens": result.kv_cache_tokens,
        "max_concurrency": result.max_concurrency,
        "context_length": result.context_length,
        "ranks": [asdict(rank) for rank in result.ranks],
        "assumptions": list(result.assumptions),
    }
