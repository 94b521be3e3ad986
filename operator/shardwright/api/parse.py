"""A raw spec becomes a model, or a list of fields with what is wrong and what to do. Never raises on user input.

It refuses what the API server would refuse by the CRD, so that a manifest can be judged without a cluster and an object
stored under older rules is still met by a condition. What the product cannot do yet is `api.support`'s business.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from shardwright.api.cel import NAME_MESSAGE, rules_of, valid_name
from shardwright.api.problems import FieldProblem, path_of
from shardwright.api.reasons import Reason
from shardwright.api.spec import AdapterSpec, EnvironmentVariable, InferenceDeploymentSpec, MetricTarget, Schema

_KEYS: Mapping[type, str] = {EnvironmentVariable: "name", AdapterSpec: "name", MetricTarget: "type"}
"""Models whose lists are maps by one key: it must not repeat."""
_MAX_PROBLEMS = 16
"""Listed at most; a reader fixes the first few, and a condition's message is bounded."""


def parse_spec(raw: Mapping[str, Any] | object) -> InferenceDeploymentSpec | tuple[FieldProblem, ...]:
    """Read `spec` of a manifest (not the whole object); problems come sorted by field, at least one, at most 16."""
    if not isinstance(raw, Mapping):
        return (FieldProblem("spec", Reason.SPEC_INVALID, "spec is missing or not a mapping: give at least model.id"),)
    try:
        text = json.dumps(raw)
    except (TypeError, ValueError, RecursionError) as error:
        message = f"cannot be written as JSON ({error}): use only text, numbers, booleans, lists and mappings"
        return (FieldProblem("spec", Reason.SPEC_INVALID, message),)
    try:
        spec = InferenceDeploymentSpec.model_validate_json(text, strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        return _bounded(_from_pydantic(detail) for detail in error.errors(include_url=False, include_context=True))
    broken = _bounded(_broken_rules(spec, ("spec",)))
    return broken or spec


def check_name(name: str) -> tuple[FieldProblem, ...]:
    """Judge `metadata.name` as the CRD does."""
    return () if valid_name(name) else (FieldProblem("metadata.name", Reason.SPEC_INVALID, NAME_MESSAGE),)


def _bounded(problems: Iterator[FieldProblem]) -> tuple[FieldProblem, ...]:
    return tuple(sorted(set(problems))[:_MAX_PROBLEMS])


def _from_pydantic(detail: ErrorDetails) -> FieldProblem:
    parts = [part for part in detail["loc"] if part != "[key]"]
    field = path_of(("spec", *parts))
    kind = detail["type"]
    if kind == "extra_forbidden":
        return FieldProblem(field, Reason.SPEC_INVALID, f"unknown field{_did_you_mean(parts)}: correct or remove it")
    if kind == "missing":
        return FieldProblem(field, Reason.SPEC_INVALID, "is required: add it")
    return FieldProblem(field, Reason.SPEC_INVALID, f"{detail['msg']}{_was(detail['input'])}: change the value")


def _was(value: object) -> str:
    if isinstance(value, str | int | float | bool):
        shown = json.dumps(value)
        return f" (got {shown if len(shown) <= 60 else shown[:57] + '...'})"
    return ""


def _did_you_mean(parts: Sequence[str | int]) -> str:
    model: type[BaseModel] | None = InferenceDeploymentSpec
    for part in parts[:-1]:
        model = _field_model(model, part) if model and isinstance(part, str) else model
    known = [info.alias or name for name, info in model.model_fields.items()] if model else []
    close = get_close_matches(str(parts[-1]), known, n=1)
    return f", did you mean {close[0]}?" if close else ""


def _field_model(model: type[BaseModel], alias: str) -> type[BaseModel] | None:
    for info in model.model_fields.values():
        if info.alias == alias:
            return next((kind for kind in _classes(info.annotation) if issubclass(kind, BaseModel)), None)
    return None


def _classes(annotation: object) -> Iterator[type]:
    """Walk an annotation such as `list[X] | None` to the classes inside it."""
    if isinstance(annotation, type) and not getattr(annotation, "__args__", None):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _classes(inner)


def _broken_rules(model: Schema, path: tuple[str | int, ...]) -> Iterator[FieldProblem]:
    for rule in rules_of(type(model).__name__):
        if not rule.holds(model):
            field = path_of((*path, rule.field) if rule.field else path)
            yield FieldProblem(field, Reason.SPEC_INVALID, rule.message)
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        inner = (*path, info.alias or name)
        if isinstance(value, Schema):
            yield from _broken_rules(value, inner)
        elif isinstance(value, list):
            yield from _broken_items(value, inner)


def _broken_items(items: Sequence[object], path: tuple[str | int, ...]) -> Iterator[FieldProblem]:
    seen = set()
    for index, item in enumerate(items):
        if not isinstance(item, Schema):
            continue
        yield from _broken_rules(item, (*path, index))
        if key := _KEYS.get(type(item)):
            word = getattr(item, key)
            if word in seen:
                field = path_of((*path, index))
                yield FieldProblem(field, Reason.SPEC_INVALID, f"{key} {word} is given twice: remove one of them")
            seen.add(word)
