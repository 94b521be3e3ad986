"""A hub on this machine: serves what a test puts there, with real safetensors headers, and misbehaves on demand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import prod
from typing import Any

BYTES = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "U8": 1}
Shapes = Mapping[str, tuple[str, tuple[int, ...]]]
"""Tensor -> (dtype, shape)."""

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16", "hidden_size": 1024,
    "intermediate_size": 2816, "num_hidden_layers": 4, "num_attention_heads": 16, "num_key_value_heads": 8,
    "head_dim": 64, "vocab_size": 32000, "max_position_embeddings": 8192, "tie_word_embeddings": False,
}  # fmt: skip


def llama_tensors(config: Mapping[str, Any]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """What a checkpoint of such a config holds."""
    hidden, inner, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    queries = config["num_attention_heads"] * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (vocabulary, hidden), "lm_head.weight": (vocabulary, hidden),
        "model.norm.weight": (hidden,),
    }  # fmt: skip
    for number in range(config["num_hidden_layers"]):
        layer = f"model.layers.{number}"
        shapes |= {
            f"{layer}.self_attn.q_proj.weight": (queries, hidden),
            f"{layer}.self_attn.k_proj.weight": (keys, hidden),
            f"{layer}.self_attn.v_proj.weight": (keys, hidden),
            f"{layer}.self_attn.o_proj.weight": (hidden, queries),
            f"{layer}.mlp.gate_proj.weight": (inner, hidden),
            f"{layer}.mlp.up_proj.weight": (inner, hidden),
            f"{layer}.mlp.down_proj.weight": (hidden, inner),
            f"{layer}.input_layernorm.weight": (hidden,),
            f"{layer}.post_attention_layernorm.weight": (hidden,),
        }
    return {name: ("BF16", shape) for name, shape in shapes.items()}


def safetensors_head(tensors: Shapes) -> tuple[bytes, int]:
    """The first bytes of a file that holds these tensors, and the length of the whole file."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    place = 0
    for name, (dtype, shape) in tensors.items():
        size = prod(shape) * BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, 8 + len(text) + place


@dataclass
class File:
    """What is served under one path."""

    content: bytes = b""
    length: int = 0
    """Of the whole file, where only its start is at hand."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    needs_token: str = ""


class LocalHub:
    """`with LocalHub() as hub`; hub.url is its endpoint."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.ignore_ranges = False
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                file = hub.files.get(self.path, File(b"Entry not found", status=404))
                time.sleep(file.delay_seconds)
                if file.needs_token and self.headers.get("Authorization") != f"Bearer {file.needs_token}":
                    file = File(b"", status=401, headers={"X-Error-Code": "GatedRepo"})
                self.answer(file)

            def answer(self, file: File) -> None:
                status, content, total = file.status, file.content, max(file.length, len(file.content))
                wanted = self.headers.get("Range")
                if wanted and status == 200 and not hub.ignore_ranges:
                    first, last = map(int, wanted.removeprefix("bytes=").split("-"))
                    status, content = (
                        206,
                        (content + bytes(max(0, min(last + 1, total) - len(content))))[first : last + 1],
                    )
                    self.send_response(status)
                    self.send_header("Content-Range", f"bytes {first}-{first + len(content) - 1}/{total}")
                    length = len(content)
                else:
                    self.send_response(status)
                    length = total
                for name, value in file.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                try:
                    self.wfile.write(content)
                    for _ in range(len(content), length, 1 << 16):
                        self.wfile.write(bytes(1 << 16))
                except OSError:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> LocalHub:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def put(self, model: str, name: str, file: File | bytes | str, revision: str = "main") -> File:
        """Serve one file of a model."""
        found = file if isinstance(file, File) else File(file.encode() if isinstance(file, str) else file)
        self.files[f"/{model}/resolve/{revision}/{name}"] = found
        return found

    def put_model(
        self, model: str, config: Mapping[str, Any] = LLAMA, shards: int = 2, tensors: Shapes | None = None,
        revision: str = "main",
    ) -> None:  # fmt: skip
        """Serve a whole model: its config, and its tensors in so many files (1 = without an index)."""
        self.put(model, "config.json", json.dumps(config), revision)
        every = list((tensors if tensors is not None else llama_tensors(config)).items())
        names = [f"model-{number + 1:05}-of-{shards:05}.safetensors" for number in range(shards)]
        parts = [dict(every[number::shards]) for number in range(shards)]
        if shards == 1:
            names = ["model.safetensors"]
        else:
            index = {
                "metadata": {},
                "weight_map": {t: name for name, part in zip(names, parts, strict=True) for t in part},
            }
            self.put(model, "model.safetensors.index.json", json.dumps(index), revision)
        for name, part in zip(names, parts, strict=True):
            head, length = safetensors_head(part)
            self.put(model, name, File(head, length), revision)

    def paths(self) -> list[str]:
        """What was asked for so far, in order."""
        return [path for path, _ in self.asked]
