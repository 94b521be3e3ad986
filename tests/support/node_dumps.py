"""Node objects from what people paste: JSON labels, YAML, `kubectl describe`, greps of either.

Reads labels, annotations, GPU resources and the requests that `describe` sums up; guesses nothing that is not there.
"""

import json
import re
from typing import Any

from support.nodes import node, pod

RESOURCE = re.compile(r"^(?:nvidia\.com/(?:gpu|mig-\d+g\.\d+gb)|amd\.com/gpu)$")
PAIR = re.compile(r"""^["']?([\w.-]+(?:/[\w.-]+)?)["']?\s*([:=])\s*(.*?),?$""")
SECTIONS = {
    "labels": "labels",
    "annotations": "annotations",
    "capacity": "capacity",
    "allocatable": "allocatable",
    "system info": "skip",
    "conditions": "skip",
    "addresses": "skip",
    "allocated resources": "requests",
}


def nodes_from_dump(text: str) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
    """(Node, a Pod that holds what the dump says is requested) for each node in the text."""
    if text.lstrip().startswith("{") and '"nvidia.com' in text[:20000] and text.rstrip().endswith("}"):
        return [(_build("node", json.loads(text), {}, {}), None)]
    if text.startswith("NAME"):
        return [_table_row(line) for line in text.splitlines()[1:] if line.strip()]
    return [_describe(text)]


def _table_row(line: str) -> tuple[dict[str, Any], None]:
    fields = line.split()
    labels = dict(item.partition("=")[::2] for item in fields[5].split(","))
    return _build(fields[0], labels, {}, {}), None


def _describe(text: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    name, section = "node", "labels"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    resources: dict[str, str] = {}
    held = 0
    waiting = ""
    for raw in text.splitlines():
        line = re.sub(r"\s+#.*$", "", raw).strip()
        if line == "{":
            section = "labels"
        requested = re.match(r"^(?:nvidia|amd)\.com/gpu\s+(\d+)\s+\d+$", line)
        if requested:
            held = int(requested[1])
            continue
        head = re.match(r"^([A-Z]?[A-Za-z ]+):\s*(.*)$", line)
        if head and head[1].lower() in SECTIONS:
            section = SECTIONS[head[1].lower()]
            line = head[2]
        elif head and head[1] == "Name":
            name = head[2]
            continue
        if waiting:
            annotations[waiting], waiting = line, ""
            continue
        found = PAIR.match(line)
        if not found or section in ("skip", "requests"):
            continue
        key, value = found[1], found[3].strip("\"'")
        if RESOURCE.match(key):
            resources[key] = value
        elif section == "annotations" and found[2] == ":":
            annotations[key] = value
            waiting = "" if value else key
        elif section == "labels" and ("/" in key or found[2] == "="):
            labels[key] = value
    holder = pod("holder", name, held) if held else None
    return _build(name, labels, annotations, resources), holder


def _build(name: str, labels: dict[str, str], annotations: dict[str, str], resources: dict[str, str]) -> dict[str, Any]:
    return node(name, labels=labels, annotations=annotations, allocatable=resources)
