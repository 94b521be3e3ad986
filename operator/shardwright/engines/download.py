"""What comes from a hub is there before the engine starts: a program in every pod has it downloaded, once for all.

Decides which repositories and which files of them are needed, and which volume keeps them: a claim that the spec names,
a volume of the pod's own, the installation's folder on the node, or the pod's own disk. How it is done is told where it
is done (`files/model.py`). The engine gets no token, and the store only to read.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from shardwright.engines.context import Rendering
from shardwright.engines.group import group_env
from shardwright.engines.program import FILES_PATH, Preparation, Variable, Volume

STORE_PATH = "/var/lib/shardwright/models"
"""Everything that was downloaded, by whichever pod."""
VIEW_PATH = "/var/lib/shardwright/hub"
"""This pod's own view of it: a Hugging Face cache in which a revision is what it was when the pod started."""
COMMITS_FILE = f"{VIEW_PATH}/commits"
CONTAINER = "model"
STORE, VIEW = "model-store", "model-view"
"""Names of the two volumes."""
CACHE_VARIABLES = frozenset(
    {"HF_HUB_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE", "HF_HOME"}
)
"""Who sets one of these keeps the cache themselves, and what is in it."""
_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
_USUAL_FORMATS = frozenset({"auto", "hf", "safetensors", "fastsafetensors"})
WEIGHTS, EVERYTHING, TEXTS = "weights", "all", "texts"


@dataclass(frozen=True, slots=True)
class Download:
    """What it takes in a pod."""

    env: tuple[Variable, ...]
    """Of the engine."""
    volumes: tuple[Volume, ...]
    """As the engine mounts them."""
    preparation: Preparation
    files: tuple[tuple[str, str], ...]


def is_hub_id(name: str) -> bool:
    """Whether a name is one of a hub's, rather than a path or a bucket."""
    return _HUB_ID.fullmatch(name) is not None


def downloaded(rendering: Rendering, hub: tuple[Variable, ...]) -> Download:
    """Have the model and what else the engine would ask a hub for; `hub` says where that is."""
    store = _store(rendering)
    env = (
        Variable("SHARDWRIGHT_MODELS", json.dumps([list(row) for row in repositories(rendering)])),
        Variable("SHARDWRIGHT_MODEL_STORE", STORE_PATH),
        Variable("SHARDWRIGHT_MODEL_VIEW", VIEW_PATH),
        Variable("SHARDWRIGHT_POD_UID", field_path="metadata.uid"),
        *hub,
        *(group_env(rendering.context) if rendering.context.size > 1 else ()),
    )
    command = ("python3", f"{FILES_PATH}/model.py")
    writable = (store, Volume(VIEW, VIEW_PATH))
    return Download(
        env=(Variable("HF_HUB_CACHE", VIEW_PATH), Variable("HF_HUB_OFFLINE", "1")),
        volumes=(replace(store, read_only=True), Volume(VIEW, VIEW_PATH, read_only=True)),
        preparation=Preparation(CONTAINER, command, env, writable),
        files=(program_file(),),
    )


def repositories(rendering: Rendering) -> tuple[tuple[str, str, str], ...]:
    """List (id, revision, which files): the model first, then what the engine's options name besides."""
    model = rendering.spec.model
    args = {name.replace("_", "-"): value for name, value in (rendering.spec.engine.args or {}).items()}
    form = args.get("load-format", "auto")
    kind = TEXTS if form == "dummy" else WEIGHTS if form in _USUAL_FORMATS else EVERYTHING
    revision = model.revision or "main"
    found = [(model.id, revision, kind), *_named(args, revision, model.id)]
    return tuple(dict.fromkeys(row for row in found if is_hub_id(row[0])))


def _named(args: dict[str, str], revision: str, model: str) -> Iterator[tuple[str, str, str]]:
    if "tokenizer" in args or "tokenizer-revision" in args:
        yield args.get("tokenizer", model), args.get("tokenizer-revision", "main"), TEXTS
    if "hf-config-path" in args:
        yield args["hf-config-path"], revision, TEXTS
    if "code-revision" in args:
        yield model, args["code-revision"], TEXTS
    draft = _document(args.get("speculative-config", ""))
    if isinstance(draft.get("model"), str):
        yield draft["model"], str(draft.get("revision") or "main"), WEIGHTS


def _document(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _store(rendering: Rendering) -> Volume:
    """Choose the volume that keeps downloads."""
    source = rendering.spec.model.source
    wish = source.hub.cache if source and source.hub else None
    if wish and wish.claim_name:
        return Volume(STORE, STORE_PATH, claim=wish.claim_name)
    if wish and wish.size:
        return Volume(STORE, STORE_PATH, size=wish.size, storage_class=wish.storage_class_name or "")
    if path := rendering.context.cache_host_path:
        folder = f"{rendering.context.namespace}/models"
        return Volume(STORE, STORE_PATH, host_path=path, create_host_path=True, sub_path=folder)
    return Volume(STORE, STORE_PATH)


@cache
def program_file() -> tuple[str, str]:
    """Name and text of the program."""
    return "model.py", files("shardwright.engines").joinpath("files", "model.py").read_text("utf-8")
