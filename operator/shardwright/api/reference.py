"""The page of every field and every reason, written from the CRD and the reason words, so that it cannot grow old."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from shardwright.api.crd import custom_resource_definition
from shardwright.api.reasons import Reason

_OPENING = """# Reference: `InferenceDeployment`

Written by `shardwright crd -o reference` from the models in `operator/shardwright/api`; a test keeps it so.
`apiVersion: shardwright.io/v1alpha1`, short name `infd`. Only `spec.model.id` is required; what is absent is derived or
takes the default that its row names. `metadata.name` is at most 40 lower-case letters, digits or `-`, beginning with a
letter. Fields of type *fragment* are those of a Pod or an autoscaling/v2 object and are passed on as they are.
"""


def reference_markdown() -> str:
    """Write the page, byte for byte as `docs/reference.md` holds it."""
    schema = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    words = ", ".join(f"`{reason}`" for reason in sorted(Reason))
    roots = ("spec", "status")
    sections = (
        _OPENING,
        *(f"## `{root}`\n\n{_table('field | type | meaning', _rows(root, schema[root]))}" for root in roots),
        "## Rules between fields\n\nRefused when the object is applied.\n",
        _table("field | rule", _rules("spec", schema["spec"])),
        f"## Reasons\n\nThe same word stands in conditions, events and logs.\n\n{words}.\n",
    )
    return "\n".join(sections)


def _table(head: str, rows: Iterator[str]) -> str:
    ruler = "|".join("---" for _ in head.split("|"))
    return "\n".join((f"| {head} |", f"|{ruler}|", *rows, ""))


def _rows(path: str, schema: Mapping[str, Any]) -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        inner = f"{path}.{name}"
        needed = ", required" if name in schema.get("required", ()) else ""
        yield f"| `{inner}` | {_type(field)}{needed} | {_cell(field.get('description', ''))} |"
        if field["type"] == "array":
            yield from _rows(f"{inner}[]", field["items"])
        yield from _rows(inner, field)


def _rules(path: str, schema: Mapping[str, Any]) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield f"| `{path}{rule.get('fieldPath', '')}` | {_cell(rule['message'])} |"
    for name, field in schema.get("properties", {}).items():
        yield from _rules(f"{path}.{name}", field)
        if field["type"] == "array":
            yield from _rules(f"{path}.{name}[]", field["items"])


def _type(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return " \\| ".join(f"`{value}`" for value in field["enum"])
    if field.get("x-kubernetes-preserve-unknown-fields"):
        return "fragment"
    if field["type"] == "array":
        return f"list of {_type(field['items'])}, at most {field['maxItems']}"
    if "additionalProperties" in field:
        return f"map to {_type(field['additionalProperties'])}, at most {field['maxProperties']}"
    low, high = field.get("minimum"), field.get("maximum")
    bounds = f" {low} to {high}" if low is not None and high is not None else ""
    return f"{field['type']}{bounds}"


def _cell(text: str) -> str:
    """Keep a sentence within one table cell."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")
