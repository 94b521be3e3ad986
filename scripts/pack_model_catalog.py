"""Pack a folder of config.json files into the bundled model catalogue.

`pack_model_catalog.py CONFIGS SOURCES.json > configs.json`. CONFIGS holds `<org>--<name>.json` and optionally
`<org>--<name>.hf_quant_config.json`; SOURCES says where each came from. Only what the parser reads is kept (numbers,
layer kinds, quantisation); lists of module names are folded by layer number, which shardwright.catalog.model_rows
unfolds again.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

TEXT_KEYS = {
    "model_type", "torch_dtype", "dtype", "hybrid_override_pattern", "mtp_hybrid_override_pattern",
    "sliding_window_pattern", "mamba_ssm_dtype", "mamba_ssm_cache_dtype", "expert_dtype", "moe_layers_enum",
    "model_name",
}  # fmt: skip
DROPPED = re.compile(
    r"token|dropout|initializer|_eps$|beam|penalty|temperature|top_p|top_k$|typical|return_|prun|output_attentions"
    r"|output_hidden|chunk_size_feed|_id$|_index$|length_penalty|diversity|logits_to_keep|use_cache|label|rope_theta"
    r"|scaling_factor|_coef$|time_step|pretraining_tp|auto_map|bad_words|early_stopping|do_sample|max_length|min_length"
    r"|num_return|torchscript|tf_legacy|gate_lower"
)
ALIKE = {"meta-llama/Llama-3.3-70B-Instruct": "meta-llama/Llama-3.1-70B-Instruct"}
"""Models whose config equals another's in everything that is kept."""


def fold(names: list[str]) -> list[Any]:
    """Names that differ in their layer number only become one [pattern, numbers]."""
    groups: dict[str, list[int]] = {}
    for name in names:
        found = re.match(r"^(.*?\blayers\.)(\d+)(.*)$", name)
        pattern = re.sub(r"\.experts\.\d+\.", ".experts.0.", f"{found[1]}#{found[3]}" if found else name)
        groups.setdefault(pattern, []).extend([int(found[2])] if found else [])
    return [[pattern, spans(sorted(set(numbers)))] if numbers else pattern for pattern, numbers in groups.items()]


def spans(numbers: list[int]) -> str:
    """[0, 1, 2, 5] -> "0-2,5"."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def kept(config: dict[str, Any]) -> dict[str, Any]:
    """What the parser may read."""
    result: dict[str, Any] = {}
    for key, value in config.items():
        if key in ("quantization_config", "quantization"):
            result[key] = quantization(value)
        elif value is None or (
            DROPPED.search(key)
            and key not in ("vision_soft_tokens_per_image", "mm_tokens_per_image", "num_experts_per_token")
        ):
            continue
        elif key == "architectures" or key in TEXT_KEYS or isinstance(value, bool | int | float):
            result[key] = value
        elif isinstance(value, list) and value and all(isinstance(v, int | str | dict) for v in value):
            if not isinstance(value[0], str) or "type" in key or "layers" in key:
                result[key] = value
        elif isinstance(value, dict):
            inner = {k: v for k, v in kept(value).items() if k != "architectures"}
            if "rope" in key:
                inner |= {k: v for k, v in value.items() if k in ("rope_type", "type")}
                inner = {k: v for k, v in inner.items() if not isinstance(v, list)}
            if inner:
                result[key] = inner
    return result


def quantization(config: dict[str, Any]) -> dict[str, Any]:
    """A quantisation config with its lists folded."""
    result: dict[str, Any] = {}
    for key, value in config.items():
        if key == "quantized_layers":
            by_entry: dict[str, list[str]] = {}
            for name, entry in value.items():
                by_entry.setdefault(json.dumps(entry, sort_keys=True), []).append(name)
            result[key] = [[json.loads(entry), fold(names)] for entry, names in by_entry.items()]
        elif isinstance(value, list) and all(isinstance(v, str) for v in value):
            result[key] = fold(value)
        elif isinstance(value, dict):
            result[key] = quantization(value)
        elif value is not None and key not in ("producer", "producer_version"):
            result[key] = value
    return result


def main() -> None:
    """Write the catalogue to standard output, one model a line."""
    folder, sources = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text("utf-8"))["found"]
    rows: dict[str, Any] = {}
    for path in sorted(folder.glob("*.json")):
        if path.name.endswith(".hf_quant_config.json"):
            continue
        name = path.stem
        row = {"source": sources.get(name, {}).get("source", ""), "config": kept(json.loads(path.read_text("utf-8")))}
        extra = folder / f"{name}.hf_quant_config.json"
        if extra.exists():
            row["quant_config"] = quantization(json.loads(extra.read_text("utf-8")))
        rows[name.replace("--", "/")] = row
    for name, like in ALIKE.items():
        if like in rows:
            rows.setdefault(name, rows[like] | {"source": f"same dimensions as {like}: {rows[like]['source']}"})
    lines = ",\n".join(
        f"{json.dumps(name)}: {json.dumps(row, separators=(',', ':'))}" for name, row in sorted(rows.items())
    )
    sys.stdout.write("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
