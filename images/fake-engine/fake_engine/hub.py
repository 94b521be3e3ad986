"""A Hugging Face Hub in a cluster without one: any model is there, tiny and always the same.

Run as `python3 -m fake_engine.hub`. A revision says what goes wrong: `none` does not exist, `gated` needs the token
`hf_right`, `huge` is larger than any disk, `slow` takes ten seconds for its weights. A model called `org/missing` does
not exist. What was asked is told at /asked, as JSON: how often each "METHOD path".
"""

import hashlib
import json
import re
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 8080
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16", "hidden_size": 1024,
    "intermediate_size": 2816, "num_hidden_layers": 4, "num_attention_heads": 16, "num_key_value_heads": 8,
    "head_dim": 64, "vocab_size": 32000, "max_position_embeddings": 8192, "tie_word_embeddings": False,
}  # fmt: skip


def weights(size: int) -> bytes:
    """A safetensors file of one tensor of so many bytes."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + bytes(size)


FILES = {
    "config.json": json.dumps(CONFIG).encode(),
    "tokenizer.json": b"{}",
    "model.safetensors": weights(1 << 20),
    "README.md": b"not for engines",
}
REVISIONS = ("main", "gated", "huge", "slow")
MISSING, TOKEN, HUGE = "org/missing", "hf_right", 1 << 50
Answer = tuple[int, bytes, dict[str, str]]


def commit(model: str, revision: str) -> str:
    """What a revision is."""
    return hashlib.sha1(f"{model}@{revision}".encode()).hexdigest()


def revision_of(model: str, name: str) -> str:
    """The revision that a name or a commit means; empty where there is none."""
    return next((each for each in REVISIONS if name in (each, commit(model, each))), "")


def refused(status: int, code: str) -> Answer:
    """As the Hub says no."""
    return status, b"{}", {"X-Error-Code": code}


def answer(path: str, token: str) -> Answer:
    """Status, body and headers for a path."""
    plain = path.partition("?")[0]
    api = re.fullmatch(r"/api/models/(.+)/revision/([^/]+)", plain)
    file = re.fullmatch(r"/(.+)/resolve/([^/]+)/(.+)", plain)
    asked = api or file
    if not asked or asked[1] == MISSING:
        return refused(404, "RepoNotFound")
    revision = revision_of(asked[1], asked[2])
    if not revision:
        return refused(404, "RevisionNotFound")
    if revision == "gated" and token != f"Bearer {TOKEN}":
        return refused(401, "GatedRepo")
    sha = commit(asked[1], revision)
    if api:
        sizes = {name: HUGE if revision == "huge" else len(content) for name, content in FILES.items()}
        rows = [{"rfilename": name, "size": size} for name, size in sizes.items()]
        return 200, json.dumps({"id": asked[1], "sha": sha, "siblings": rows}).encode(), {}
    content = FILES.get(asked[3])
    if content is None:
        return refused(404, "EntryNotFound")
    if revision == "slow" and asked[3].endswith(".safetensors"):
        time.sleep(10)
    return 200, content, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": sha}


def main() -> None:
    """Serve until the end."""
    asked: Counter[str] = Counter()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            if self.path == "/asked":
                found: Answer = (200, json.dumps(asked).encode(), {})
            else:
                asked[f"{self.command} {self.path}"] += 1
                found = answer(self.path, self.headers.get("Authorization", ""))
            status, body, headers = found
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if status == 200 else None
            if wanted:
                first, last = int(wanted[1]), min(int(wanted[2] or len(body)), len(body) - 1)
                headers = {**headers, "Content-Range": f"bytes {first}-{last}/{len(body)}"}
                status, body = 206, body[first : last + 1]
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    ThreadingHTTPServer(("", PORT), Handler).serve_forever()


if __name__ == "__main__":
    main()
