"""Rules between fields, each once: as CEL for the API server, as Python for everything that reads a spec without one.

A rule belongs to a model (by class name) and names the field that a message is about. Both forms must agree; a test
holds them against each other on a real API server. Nothing here knows a cluster or an engine's versions.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shardwright.api.spec import (
    AutoscalingSpec,
    EngineSpec,
    HubCache,
    LayoutSpec,
    ModelSource,
    ObjectiveSpec,
    ScalingMode,
)

MAX_NAME_LENGTH = 40
"""Of metadata.name: StatefulSets and pods get suffixes, and a pod's name must stay within 63 characters."""

NAME_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
NAME_MESSAGE = (
    f"metadata.name must be at most {MAX_NAME_LENGTH} lower-case letters, digits or '-', begin with a letter and end "
    "with a letter or digit: choose a shorter or plainer name; names of pods and DNS names are made from it"
)
NAME_RULE = f"size(self.metadata.name) <= {MAX_NAME_LENGTH} && self.metadata.name.matches('{NAME_PATTERN}')"

LAYOUT_ARGUMENTS = (
    "tensor-parallel-size", "pipeline-parallel-size", "data-parallel-size", "data-parallel-size-local",
    "enable-expert-parallel", "nnodes", "node-rank", "tp-size", "pp-size", "ep-size", "gpus-per-node",
)  # fmt: skip
"""Engine options that `spec.layout` decides; refused early here, the engines refuse every other spelling."""

_RESERVED_LABELS = ("shardwright.io/", "apps.kubernetes.io/", "statefulset.kubernetes.io/")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what must hold of an instance of `model`."""

    model: str
    field: str
    """JSON name of the field that the message is about, empty where it is about the whole."""
    cel: str
    holds: Callable[[Any], bool]
    message: str


def valid_name(name: str) -> bool:
    """Whether `metadata.name` leaves room for what is made from it."""
    return len(name) <= MAX_NAME_LENGTH and re.fullmatch(NAME_PATTERN.strip("^$"), name) is not None


def _source_kinds(source: ModelSource) -> int:
    kinds = (source.hub, source.persistent_volume_claim, source.host_path, source.image)
    return sum(kind is not None for kind in kinds)


def _one_kind_of_cache(cache: HubCache) -> bool:
    return (cache.claim_name is None) != (cache.size is None) and not (cache.claim_name and cache.storage_class_name)


def _stays_inside(path: str) -> bool:
    return not path.startswith("/") and ".." not in path.split("/")


def _gpus_divide(layout: LayoutSpec) -> bool:
    pins = (layout.tensor, layout.pipeline, layout.data, layout.nodes_per_replica)
    tensor, pipeline, data, nodes = (pin or 0 for pin in pins)
    return 0 in (tensor, pipeline, data, nodes) or tensor * pipeline * data % nodes == 0


def _lengths_fit(objective: ObjectiveSpec) -> bool:
    typical = (objective.typical_prompt_tokens or 0) + (objective.typical_output_tokens or 0)
    return objective.context_length is None or typical <= objective.context_length


def _external_sets_nothing(scaling: AutoscalingSpec) -> bool:
    set_here = scaling.model_fields_set & {"min_replicas", "max_replicas", "metrics", "behavior"}
    return scaling.mode is not ScalingMode.EXTERNAL or not any(getattr(scaling, name) is not None for name in set_here)


def _scaling_range(scaling: AutoscalingSpec) -> bool:
    return scaling.max_replicas is None or scaling.min_replicas <= scaling.max_replicas


def _no_layout_arguments(engine: EngineSpec) -> bool:
    return not any(name.replace("_", "-") in LAYOUT_ARGUMENTS for name in engine.args or ())


_INSIDE_CEL = "!has(self.path) || (!self.path.startsWith('/') && !self.path.split('/').exists(part, part == '..'))"
_INSIDE_MESSAGE = "path must be relative to the root of the volume and must not contain '..'"
_ARGUMENT_LIST = ", ".join(f"'{name}'" for name in LAYOUT_ARGUMENTS)
_RESERVED_CEL = " && ".join(f"!key.startsWith('{prefix}')" for prefix in _RESERVED_LABELS)

RULES: tuple[Rule, ...] = (
    Rule(
        "ModelSource", "",
        "[has(self.hub), has(self.persistentVolumeClaim), has(self.hostPath), has(self.image)]"
        ".filter(given, given).size() == 1",
        lambda source: _source_kinds(source) == 1,
        "give exactly one of hub, persistentVolumeClaim, hostPath or image; leave source out to read from the Hub",
    ),
    Rule(
        "HubCache", "",
        "has(self.claimName) != has(self.size) && !(has(self.claimName) && has(self.storageClassName))",
        _one_kind_of_cache,
        "give either claimName, a claim that all pods share, or size (and storageClassName), a volume for each pod",
    ),
    Rule(
        "PersistentVolumeClaimSource", "path", _INSIDE_CEL, lambda source: _stays_inside(source.path), _INSIDE_MESSAGE
    ),
    Rule("ImageSource", "path", _INSIDE_CEL, lambda source: _stays_inside(source.path), _INSIDE_MESSAGE),
    Rule(
        "HostPathSource", "path",
        "!self.path.split('/').exists(part, part == '..')",
        lambda source: ".." not in source.path.split("/"),
        "path must not contain '..': write the folder's real path",
    ),
    Rule(
        "ModelSpec", "revision",
        "!has(self.revision) || !has(self.source) || has(self.source.hub)",
        lambda model: model.revision is None or model.source is None or model.source.hub is not None,
        "revision names a version on the Hub and means nothing for a volume or image: remove it, or use source.hub",
    ),
    Rule(
        "EngineSpec", "args",
        "!has(self.args) || !self.args.exists(name, name.startsWith('-'))",
        lambda engine: not any(name.startswith("-") for name in engine.args or ()),
        "write option names without leading dashes: max-num-seqs, not --max-num-seqs",
    ),
    Rule(
        "EngineSpec", "args",
        f"!has(self.args) || !self.args.exists(name, name.replace('_', '-') in [{_ARGUMENT_LIST}])",
        _no_layout_arguments,
        "the layout is not an engine argument here: pin it in spec.layout (tensor, pipeline, data, expert, "
        "nodesPerReplica), where it is checked, or leave it to be derived",
    ),
    Rule(
        "ObjectiveSpec", "contextLength",
        "!has(self.contextLength) || (has(self.typicalPromptTokens) ? self.typicalPromptTokens : 0) + "
        "(has(self.typicalOutputTokens) ? self.typicalOutputTokens : 0) <= self.contextLength",
        _lengths_fit,
        "typicalPromptTokens + typicalOutputTokens exceed contextLength: raise contextLength or lower the typical ones",
    ),
    Rule(
        "LayoutSpec", "nodesPerReplica",
        "!(has(self.tensor) && self.tensor > 0 && has(self.pipeline) && self.pipeline > 0 && has(self.data) && "
        "self.data > 0 && has(self.nodesPerReplica) && self.nodesPerReplica > 0) || "
        "self.tensor * self.pipeline * self.data % self.nodesPerReplica == 0",
        _gpus_divide,
        "tensor × pipeline × data must be a multiple of nodesPerReplica, since all pods have equally many GPUs: "
        "change one of them, or leave nodesPerReplica out",
    ),
    Rule(
        "Toleration", "value",
        "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
        lambda toleration: toleration.operator != "Exists" or not toleration.value,
        "operator Exists takes no value: remove value, or use operator Equal",
    ),
    Rule(
        "Toleration", "key",
        "(has(self.key) && self.key != '') || (has(self.operator) && self.operator == 'Exists')",
        lambda toleration: bool(toleration.key) or toleration.operator == "Exists",
        "a toleration without key tolerates everything and needs operator Exists: add the key, or operator: Exists",
    ),
    Rule(
        "Toleration", "tolerationSeconds",
        "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
        lambda toleration: toleration.toleration_seconds is None or toleration.effect == "NoExecute",
        "tolerationSeconds needs effect NoExecute: set the effect, or remove tolerationSeconds",
    ),
    Rule(
        "AutoscalingSpec", "maxReplicas",
        "!has(self.maxReplicas) || (has(self.minReplicas) ? self.minReplicas : 1) <= self.maxReplicas",
        _scaling_range,
        "maxReplicas must not be less than minReplicas (1 where absent): raise maxReplicas or lower minReplicas",
    ),
    Rule(
        "AutoscalingSpec", "mode",
        "!has(self.mode) || self.mode != 'External' || !(has(self.minReplicas) || has(self.maxReplicas) || "
        "has(self.metrics) || has(self.behavior))",
        _external_sets_nothing,
        "mode External leaves scaling to your own autoscaler: remove minReplicas, maxReplicas, metrics and behavior",
    ),
    Rule(
        "RolloutSpec", "maxUnavailable",
        "!has(self.maxUnavailable) || self.maxUnavailable > 0 || (has(self.maxSurge) && self.maxSurge > 0)",
        lambda rollout: rollout.max_unavailable > 0 or rollout.max_surge > 0,
        "maxUnavailable and maxSurge cannot both be 0, or a changed spec could never roll out: raise one of them",
    ),
    Rule(
        "PodTemplateSpec", "labels",
        f"!has(self.labels) || self.labels.all(key, {_RESERVED_CEL})",
        lambda template: not any(key.startswith(_RESERVED_LABELS) for key in template.labels or ()),
        f"labels beginning with {', '.join(_RESERVED_LABELS)} are set by the operator and Kubernetes: use other keys",
    ),
)  # fmt: skip


def rules_of(model: str) -> tuple[Rule, ...]:
    """Give the rules of one model, in their order here."""
    return tuple(rule for rule in RULES if rule.model == model)
