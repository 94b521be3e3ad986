"""The command lines of golden cases as a kubelet and our group member start them: one for each pod of a replica."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from golden.cases import Case, objects_of

ROOT = Path(__file__).parents[2]
FIELDS = {"status.podIP": "10.0.0.{}", "metadata.labels['apps.kubernetes.io/pod-index']": "{}"}


def member() -> ModuleType:
    """The program that runs in each pod of a group."""
    path = ROOT / "operator/shardwright/engines/files/member.py"
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # it finds its neighbour beside it, as in a pod
    found = importlib.util.spec_from_file_location("member", path)
    assert found and found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def engine_container(case: Case) -> dict[str, Any]:
    """The engine's container of the first replica; StatefulSets are absent where nothing runs."""
    for document in objects_of(case):
        if document["kind"] == "StatefulSet":
            container: dict[str, Any] = document["spec"]["template"]["spec"]["containers"][0]
            return container
    return {}


def environment(container: dict[str, Any], index: int) -> dict[str, str]:
    """The container's variables in pod `index`, with those that refer to others resolved."""
    known: dict[str, str] = {}
    for entry in container["env"]:
        path = entry.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath", "")
        known[entry["name"]] = FIELDS.get(path, "").format(index) if path else expand(entry.get("value", ""), known)
    return known


def expand(text: str, known: dict[str, str]) -> str:
    """`$(NAME)` as a kubelet does it: unknown names stay."""
    return re.sub(r"\$\((\w+)\)", lambda match: known.get(match[1], match[0]), text)


def command_lines(case: Case) -> list[list[str]]:
    """What the engine's process is started with, pod by pod."""
    container = engine_container(case)
    lines = []
    for index in range(case.layout.nodes_per_replica if container else 0):
        known = environment(container, index)
        words = [expand(word, known) for word in (*container["command"], *container["args"])]
        if words[0] == "python3":
            words = member().words(words[2:], index == 0)
        lines.append(words)
    return lines
