"""The CustomResourceDefinition, written from the models: schema, rules, columns and subresources.

The API server takes only structural schemas, so pydantic's JSON schema is rewritten; a keyword that the rewriter does
not know raises, and nothing is dropped unseen, save patterns of map keys, which no structural schema can say
(`api.parse` checks them). Defaults stay out of the schema (a default that the server writes into the
object can never be changed later, and would look like the user's own words); descriptions state them instead.
"""

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from shardwright.api.cel import NAME_MESSAGE, NAME_RULE, Rule, rules_of
from shardwright.api.labels import GROUP, KIND, PLURAL, VERSION
from shardwright.api.spec import InferenceDeploymentSpec, Schema
from shardwright.api.status import InferenceDeploymentStatus

MAX_BYTES = 256 * 1024
"""kubectl apply keeps a copy in an annotation, and annotations are limited to this."""

HEADER = "# Written by `shardwright crd` from operator/shardwright/api; `make crd` writes it again.\n"

_KEPT = frozenset(
    {"type", "description", "enum", "pattern", "format", "minimum", "maximum", "minLength", "maxLength", "minItems",
     "maxItems", "minProperties", "maxProperties", "required", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"}
)  # fmt: skip
_DROPPED = frozenset({"title", "default", "propertyNames"})
_HANDLED = frozenset(
    {"$ref", "$defs", "properties", "items", "additionalProperties", "patternProperties", "const", "x-model"}
)

COLUMNS = (
    ("Model", ".spec.model.id", "The model that is served.", 0),
    ("Layout", ".status.layout", "Parallel layout of a replica, and how many of them.", 0),
    ("GPU", ".status.gpu", "GPU products in use.", 0),
    ("Ready", ".status.ready", "Ready and wanted replicas.", 0),
    ("Status", ".status.state", "One word, and the reason where something is wrong.", 0),
    ("Summary", ".status.summary", "Replicas in words.", 1),
    ("Endpoint", ".status.endpoint", "Base URL of the OpenAI API inside the cluster.", 1),
)


class UnknownKeywordError(Exception):
    """A model says something that a structural schema cannot say: our bug, found when the CRD is written."""


class _WithoutNull(GenerateJsonSchema):
    """Optional fields without `anyOf … null`: absent is the only way to say nothing."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def custom_resource_definition() -> dict[str, Any]:
    """Build the whole object, ready for the API server."""
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _root_schema()},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": [*map(_column, COLUMNS), _age_column()],
    }
    names = {"kind": KIND, "listKind": f"{KIND}List", "plural": PLURAL, "singular": KIND.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {**names, "shortNames": ["infd"], "categories": ["all"]},
            "versions": [version],
        },
    }


def crd_yaml() -> str:
    """Write the definition as the file in `crds/` holds it, byte for byte."""
    return HEADER + yaml.safe_dump(custom_resource_definition(), sort_keys=False, width=118, allow_unicode=True)


def _root_schema() -> dict[str, Any]:
    rule = {"rule": NAME_RULE, "message": NAME_MESSAGE, "reason": "FieldValueInvalid"}
    return {
        "description": "An LLM to serve; everything but the model is derived unless it is given.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": _model_schema(InferenceDeploymentSpec),
            "status": _model_schema(InferenceDeploymentStatus),
        },
        "x-kubernetes-validations": [rule],
    }


def _column(column: tuple[str, str, str, int]) -> dict[str, Any]:
    name, path, description, priority = column
    return {"name": name, "type": "string", "description": description, "jsonPath": path, "priority": priority}


def _age_column() -> dict[str, Any]:
    return {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def _model_schema(model: type[Schema]) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True, schema_generator=_WithoutNull)
    return structural({**schema, "x-model": model.__name__}, schema.get("$defs", {}))


def structural(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Rewrite one JSON schema to a structural one. Raises UnknownKeywordError on what it does not know."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rsplit("/", 1)[-1]
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return structural({**definitions[name], "x-model": name, **beside}, definitions)
    unknown = set(schema) - _KEPT - _DROPPED - _HANDLED
    if unknown:
        raise UnknownKeywordError(f"a structural schema cannot say {sorted(unknown)}: {dict(schema)}")
    result = {key: value for key, value in schema.items() if key in _KEPT}
    if "const" in schema:
        result["enum"] = [schema["const"]]
    if "items" in schema:
        result["items"] = structural(schema["items"], definitions)
    if schema.get("type") == "object":
        result |= _object(schema, definitions)
    return _described(schema, result)


def _object(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    rules = [_validation(rule) for rule in rules_of(schema.get("x-model", ""))]
    validations = {"x-kubernetes-validations": rules} if rules else {}
    if "properties" in schema:
        fields = schema["properties"].items()
        return {"properties": {name: structural(field, definitions) for name, field in fields}, **validations}
    patterns = tuple(schema.get("patternProperties", {}).values())
    values = patterns[0] if len(patterns) == 1 else schema.get("additionalProperties")
    if values is True:
        return {"x-kubernetes-preserve-unknown-fields": True}
    if not isinstance(values, Mapping):
        raise UnknownKeywordError(f"an object needs fields or a type of its values: {dict(schema)}")
    return {"additionalProperties": structural(values, definitions)}


def _validation(rule: Rule) -> dict[str, Any]:
    path = {"fieldPath": f".{rule.field}"} if rule.field else {}
    return {"rule": rule.cel, "message": rule.message, "reason": "FieldValueInvalid", **path}


def _described(schema: Mapping[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """Say a scalar default in words, since the schema holds none."""
    default = schema.get("default")
    if isinstance(default, str | int | bool) and default != "":
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        result["description"] = f"{result.get('description', '')} Default: {shown}.".strip()
    return {"description": result.pop("description"), **result} if "description" in result else result
