"""Is this spec one we act on? Judges parsing, support, the engine's options and the model's facts, all at once.

A refused spec names every field that is wrong. Nothing here plans.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from shardwright.api.parse import check_name, parse_spec
from shardwright.api.problems import FieldProblem
from shardwright.api.reasons import Reason
from shardwright.api.spec import InferenceDeploymentSpec
from shardwright.api.support import not_supported
from shardwright.engines.support import unsupported, unsupported_model
from shardwright.models.bundled import bundled_name, bundled_profile
from shardwright.models.errors import UnreadableModel
from shardwright.models.files import CONFIG, profile_from_files
from shardwright.models.profile import ModelProfile
from shardwright.plan.request import plan_request
from shardwright.plan.types import PlanRequest
from shardwright.reconcile.types import ModelFacts

FACTS_FIELD = "spec.model.facts.configMapRef"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A spec that is acted on, with all that planning and rendering need of it."""

    raw: Mapping[str, Any]
    """Without `replicas`."""
    files: Mapping[str, str] | None
    spec: InferenceDeploymentSpec
    profile: ModelProfile
    request: PlanRequest


Verdict = Accepted | tuple[FieldProblem, ...]


def accept(name: str, raw: object, facts: ModelFacts) -> Verdict:
    """The accepted spec, or every problem that was found. Never raises on a user's input."""
    problems = check_name(name)
    judged = judge_spec(json.dumps(raw)) if isinstance(raw, Mapping) else parse_spec(raw)
    if problems or isinstance(judged, tuple):
        return (*problems, *(judged if isinstance(judged, tuple) else ()))
    assert isinstance(raw, Mapping)
    return resolve({key: value for key, value in raw.items() if key != "replicas"}, judged, facts)


@lru_cache(maxsize=2048)
def judge_spec(raw: str) -> InferenceDeploymentSpec | tuple[FieldProblem, ...]:
    """The spec, or what is wrong with it by itself. Remembered: it is judged at each reconcile and seldom changes."""
    parsed = parse_spec(json.loads(raw))
    if isinstance(parsed, tuple):
        return parsed
    return (*not_supported(parsed), *unsupported(parsed)) or parsed


def read_kept(raw: Mapping[str, Any]) -> InferenceDeploymentSpec | None:
    """A spec that was accepted before; None where today's rules do not read it any more."""
    parsed = _parse_kept(json.dumps(raw))
    return None if isinstance(parsed, tuple) else parsed


@lru_cache(maxsize=2048)
def _parse_kept(raw: str) -> InferenceDeploymentSpec | tuple[FieldProblem, ...]:
    return parse_spec(json.loads(raw))


def resolve(raw: Mapping[str, Any], spec: InferenceDeploymentSpec, facts: ModelFacts) -> Verdict:
    """The model's profile and the plan's request for a spec that is fine by itself."""
    catalogued = spec.model.facts is None and bundled_name(spec.model.id) is not None
    profile = _from_catalogue(spec) if catalogued else _from_files(spec, facts)
    if isinstance(profile, FieldProblem):
        return (profile,)
    if problem := unsupported_model(spec, profile):
        return (problem,)
    request = plan_request(spec, profile)
    if isinstance(request, Sequence):
        return tuple(request)
    return Accepted(raw, None if catalogued else facts.files, spec, profile, request)


def _from_files(spec: InferenceDeploymentSpec, facts: ModelFacts) -> ModelProfile | FieldProblem:
    named = spec.model.facts
    field = FACTS_FIELD if named else "spec.model.id"
    if facts.files is None:
        if facts.problem or named:
            return FieldProblem(field, facts.reason, facts.problem or "cannot be read: make the ConfigMap")
        return _from_catalogue(spec)
    if named and CONFIG not in facts.files:
        message = f"the ConfigMap {named.config_map_ref.name} has no key {CONFIG}: put the model's {CONFIG} there"
        return FieldProblem(field, Reason.UNKNOWN_MODEL, message)
    try:
        return profile_from_files(facts.files, spec.model.id, spec.model.quantization)
    except UnreadableModel as error:
        return FieldProblem(field, error.reason, error.message)


def _from_catalogue(spec: InferenceDeploymentSpec) -> ModelProfile | FieldProblem:
    try:
        return bundled_profile(spec.model.id, spec.model.quantization)
    except UnreadableModel as error:
        return FieldProblem("spec.model.id", error.reason, error.message)
