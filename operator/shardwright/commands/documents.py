"""Files on a laptop become what planning takes: a deployment's spec, its model's profile, an inventory.

Every problem ends the command with a sentence that says which file, where in it, and what to do.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
import yaml

from shardwright.api.expected import KEY, ExpectedPool, ExpectedPoolsError, expected_in
from shardwright.api.labels import API_VERSION, KIND
from shardwright.api.parse import check_name, parse_spec
from shardwright.api.spec import InferenceDeploymentSpec
from shardwright.catalog.model_rows import bundled_configs
from shardwright.cluster.devices import DeviceBook
from shardwright.inventory import Inventory, SkippedNode, build_inventory, read_node, read_usage, with_expected
from shardwright.inventory.slices import read_claim, read_slice
from shardwright.inventory.types import PodUsage
from shardwright.models.errors import UnreadableModel
from shardwright.models.parse import parse_config
from shardwright.models.profile import ModelProfile

Document = Mapping[str, Any]
COMPUTE_DOMAINS = "computedomains.resource.nvidia.com"
"""The CustomResourceDefinition by which a cluster serves ComputeDomains."""


def fail(message: str) -> typer.Exit:
    """Print one sentence to stderr; raise what this returns."""
    typer.echo(f"error: {message}", err=True)
    return typer.Exit(2)


def read_documents(path: Path) -> list[Document]:
    """Objects of a YAML or JSON file (`-` = standard input), Lists flattened."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text("utf-8")
    except OSError as error:
        raise fail(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise fail(f"{path} is no text in UTF-8: give YAML or JSON") from error
    try:
        loaded = [json.loads(text)] if text.lstrip().startswith("{") else list(_load_yaml(text))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise fail(f"{path} is neither YAML nor JSON: {_one_line(error)}") from error
    return [item for document in loaded for item in _items(document)]


def _load_yaml(text: str) -> Iterator[Any]:
    return yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _items(document: object) -> Iterator[Document]:
    if isinstance(document, Mapping):
        items = document.get("items")
        if isinstance(items, list) and str(document.get("kind", "")).endswith("List"):
            for item in items:
                yield from _items(item)
        else:
            yield document


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def find_deployment(documents: list[Document], path: Path) -> tuple[str, InferenceDeploymentSpec]:
    """Name and spec of the one InferenceDeployment in a file."""
    found = [document for document in documents if document.get("kind") == KIND]
    if len(found) != 1:
        raise fail(f"{path} holds {_held(documents)}: give a file with exactly one {KIND}")
    if found[0].get("apiVersion") != API_VERSION:
        raise fail(f"{path}: apiVersion is {found[0].get('apiVersion')!r}: write {API_VERSION}")
    metadata = found[0].get("metadata")
    name = str(metadata.get("name", "")) if isinstance(metadata, Mapping) else ""
    spec = parse_spec(found[0].get("spec"))
    problems = check_name(name)
    if not isinstance(spec, InferenceDeploymentSpec):
        problems += spec
    if problems or not isinstance(spec, InferenceDeploymentSpec):
        raise fail(f"{path} is not valid:\n" + "\n".join(f"  {problem}" for problem in problems))
    return name, spec


def _held(documents: list[Document]) -> str:
    """What is in a file, by kind."""
    kinds = Counter(str(document.get("kind", "no kind"))[:63] for document in documents)
    return ", ".join(f"{count} × {kind}" for kind, count in sorted(kinds.items())[:5]) or "no object"


def read_inventory(documents: list[Document], path: Path | None = None, expected: Path | None = None) -> Inventory:
    """Nodes and pods of `kubectl get nodes,pods -A -o yaml`; other kinds are ignored.

    Pools of nodes that do not exist yet stand under `expectedPools` in a document of that file, or in one of their own
    (`expected`). A file (`path`) with neither is a mistake and ends the command; a cluster without nodes is a fact.
    """
    declared = _declared(documents, path, expected)
    if path and not declared and not any(document.get("kind") == "Node" for document in documents):
        raise fail(f"{path} holds {_held(documents)}, no Node: give the output of kubectl get nodes,pods -A -o yaml")
    facts, skipped = [], []
    book = _device_book(documents)
    joins = any(_name(document) == COMPUTE_DOMAINS for document in documents)
    for document in documents:
        if document.get("kind") == "Node":
            node = read_node(document, book.offered(_name(document)), compute_domains=joins)
            if isinstance(node, SkippedNode):
                skipped.append(node)
            else:
                facts.append(node)
    usage = [read_usage(document) for document in documents if document.get("kind") == "Pod"]
    usage += [PodUsage("claims", one.name, tuple(sorted(book.claimed_on(one.name).items()))) for one in facts]
    inventory = build_inventory(facts, skipped, [pod for pod in usage if pod])
    return with_expected(inventory, declared, (*facts, *skipped))


def _device_book(documents: list[Document]) -> DeviceBook:
    """GPUs that ResourceSlices among the documents offer, and ResourceClaims hold."""
    book = DeviceBook()
    for document in documents:
        if document.get("kind") == "ResourceSlice":
            book.put_slice(_name(document), read_slice(document))
    for number, document in enumerate(documents):
        if document.get("kind") == "ResourceClaim":
            book.put_claim((_name(document), str(number)), read_claim(document))
    return book


def _name(document: Document) -> str:
    metadata = document.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, Mapping) else ""


def _declared(documents: list[Document], path: Path | None, expected: Path | None) -> tuple[ExpectedPool, ...]:
    """Pools of nodes that do not exist yet: from their own file, else from beside the nodes."""
    try:
        if expected is None:
            return expected_in(documents) or ()
        path, found = expected, expected_in(read_documents(expected))
    except ExpectedPoolsError as error:
        raise fail(f"{expected or path or 'nodes'}: {error}") from error
    if found is None:
        raise fail(f"{path} has no {KEY}: give the chart's values, or a file with that key and a list of pools")
    return found


def find_profile(spec: InferenceDeploymentSpec, documents: list[Document], config: Path | None) -> ModelProfile:
    """Profile of the model: from `config`, a ConfigMap in the same file, or the bundled catalogue, in that order."""
    model = spec.model
    raw = _config_file(config) if config else _config_map(spec, documents) or _bundled(model.id)
    if raw is None:
        raise fail(f"{model.id} is not in the bundled catalogue: give its config.json with --config PATH")
    try:
        return parse_config(raw, model_id=model.id, quantization=model.quantization)
    except UnreadableModel as error:
        raise fail(f"spec.model: {error.message}") from error


def _config_file(path: Path) -> Document:
    path = path / "config.json" if path.is_dir() else path
    try:
        raw = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise fail(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise fail(f"{path} cannot be read as JSON: {_one_line(error)}") from error
    if not isinstance(raw, Mapping):
        raise fail(f"{path} is not a JSON object: give the model's config.json")
    return raw


def _config_map(spec: InferenceDeploymentSpec, documents: list[Document]) -> Document | None:
    """The ConfigMap of `spec.model.facts`, where the file with the deployment holds it too."""
    if spec.model.facts is None:
        return None
    name = spec.model.facts.config_map_ref.name
    for document in documents:
        metadata = document.get("metadata")
        if document.get("kind") == "ConfigMap" and isinstance(metadata, Mapping) and metadata.get("name") == name:
            try:
                loaded = json.loads((document.get("data") or {})["config.json"])
            except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
                raise fail(f"ConfigMap {name}: key config.json is missing or no JSON ({_one_line(error)})") from error
            return loaded if isinstance(loaded, Mapping) else None
    return None


def _bundled(model_id: str) -> Document | None:
    row = bundled_configs().get(model_id)
    config = row.get("config") if row else None
    return config if isinstance(config, Mapping) else None
