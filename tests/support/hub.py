"""A hub on this machine: serves what a test puts there, with real safetensors headers, and misbehaves on demand."""

from __future__ import annotations

import hashlib
import json
import re
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
    told: Mapping[str, str] = field(default_factory=dict)
    """What the hub itself says of it."""
    cut_after: int = 0
    """Bytes after which the connection is closed, once."""

    @property
    def size(self) -> int:
        return max(self.length, len(self.content))


class LocalHub:
    """`with LocalHub() as hub`; hub.url is its endpoint."""

    def __init__(self) -> None:  # noqa: C901 (a server in one piece)
        self.files: dict[str, File] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.ignore_ranges = False
        self.needs_token = ""
        """For a model's listing."""
        self.commits: dict[tuple[str, str], str] = {}
        """What revisions of models are, where a test says it."""
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                asked = self.path if self.command == "GET" else f"{self.command} {self.path}"
                hub.asked.append((asked, {name.lower(): value for name, value in self.headers.items()}))
                file = hub.found(self.path)
                time.sleep(file.delay_seconds)
                if file.needs_token and self.headers.get("Authorization") != f"Bearer {file.needs_token}":
                    file = File(b"", status=401, headers={"X-Error-Code": "GatedRepo"})
                self.answer(file)

            def answer(self, file: File) -> None:
                status, content, total = file.status, file.content, file.size
                wanted = self.headers.get("Range") if self.command == "GET" else None
                if wanted and status == 200 and not hub.ignore_ranges:
                    first, last = (int(part or total - 1) for part in wanted.removeprefix("bytes=").split("-"))
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
                for name, value in {**file.told, **file.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                if self.command == "HEAD":
                    return
                if file.cut_after:
                    content, length = content[: file.cut_after], 0
                    file.cut_after, self.close_connection = 0, True
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

    def found(self, path: str) -> File:
        """What is served at a path: a file at a revision or at its commit, or a model's listing."""
        if path in self.files:
            return self.files[path]
        plain = path.partition("?")[0]
        if asked := re.fullmatch(r"/api/models/(.+)/revision/([^/]+)", plain):
            return self.listing(*asked.groups())
        if at := re.fullmatch(r"/(.+)/resolve/([0-9a-f]{40})/(.+)", plain):
            for (model, revision), commit in self._commits().items():
                here = self.files.get(f"/{model}/resolve/{revision}/{at[3]}")
                if (model, commit) == at.groups()[:2] and here is not None:
                    etag = hashlib.sha1(f"{at[3]} {here.size}".encode() + here.content).hexdigest()
                    here.told = {"ETag": f'"{etag}"', "X-Repo-Commit": commit}
                    return here
        return File(b"Entry not found", status=404, headers={"X-Error-Code": "EntryNotFound"})

    def _commits(self) -> dict[tuple[str, str], str]:
        found = (re.fullmatch(r"/(.+)/resolve/([^/]+)/.+", path) for path in self.files)
        known = {(each[1], each[2]) for each in found if each}
        return {name: self.commits.get(name) or hashlib.sha1("@".join(name).encode()).hexdigest() for name in known}

    def commit(self, model: str, revision: str = "main") -> str:
        """What a revision is."""
        return self._commits()[model, revision]

    def listing(self, model: str, revision: str = "main") -> File:
        """A model's files with their sizes, as the API tells them."""
        commits = self._commits()
        if not any(name == model for name, _ in commits):
            return File(b"{}", status=404, headers={"X-Error-Code": "RepoNotFound"})
        asked = next((r for (m, r), commit in commits.items() if m == model and revision in (r, commit)), None)
        if asked is None:
            return File(b"{}", status=404, headers={"X-Error-Code": "RevisionNotFound"})
        start = f"/{model}/resolve/{asked}/"
        rows = [
            {"rfilename": path.removeprefix(start), "size": file.size}
            for path, file in self.files.items()
            if path.startswith(start)
        ]
        answer = {"id": model, "sha": commits[model, asked], "siblings": rows}
        return File(json.dumps(answer).encode(), needs_token=self.needs_token)

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
