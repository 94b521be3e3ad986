"""Which accepted fields would not reach the engine as asked, each with a reason: such a spec is refused unplanned.

Looks at the spec, and at the model once it is known; the planner's checks leave no layout that an engine cannot form.
So nothing that is accepted is refused when it is rendered.
"""

from collections.abc import Iterator

import yaml

from shardwright.api.problems import FieldProblem, path_of
from shardwright.api.reasons import Reason
from shardwright.api.spec import EngineName, InferenceDeploymentSpec
from shardwright.engines.base import options_of
from shardwright.engines.context import UnrenderableError
from shardwright.engines.download import CONTAINER, STORE, STORE_PATH, VIEW, VIEW_PATH
from shardwright.engines.mpi import LAUNCH_PATH, LAUNCH_VOLUME
from shardwright.engines.options import canonical, is_yaml, refusals
from shardwright.engines.program import FILES_PATH
from shardwright.engines.sources import CACHE_PATH, MODELS_PATH, model_argument
from shardwright.engines.trtllm import PLAIN
from shardwright.engines.words import quantization_arguments
from shardwright.inventory.resources import is_gpu_resource
from shardwright.models.profile import ModelProfile

RESERVED_ENV = {
    "CUDA_VISIBLE_DEVICES": "the device plugin",
    "NVIDIA_VISIBLE_DEVICES": "the device plugin",
    "HIP_VISIBLE_DEVICES": "the device plugin",
    "ROCR_VISIBLE_DEVICES": "the device plugin",
    "POD_IP": "the operator",
    "VLLM_HOST_IP": "the operator",
    "VLLM_PORT": "nobody: it is the base of vLLM's internal ports, and a wrong one stops it",
    "VLLM_PP_LAYER_PARTITION": "the engine: the memory forecast is made for its own split",
    "VLLM_DP_MASTER_IP": "the operator",
    "VLLM_DP_MASTER_PORT": "the operator",
}
UNSEEN_MEMORY = {
    "free_gpu_memory_fraction": "free_gpu_memory_fraction stands by itself in spec.engine.args: so it is forecast",
    "max_tokens": "max_tokens is not known to the memory forecast: remove it, or limit spec.objective.concurrency",
    "dtype": "a cache dtype is not known to trtllm's memory forecast yet: remove it",
}
RESERVED_VOLUMES = ("shm", "cache", "model", STORE, VIEW, "files", LAUNCH_VOLUME)
RESERVED_PATHS = ("/dev/shm", MODELS_PATH, STORE_PATH, VIEW_PATH, CACHE_PATH, FILES_PATH, LAUNCH_PATH)


def unsupported(spec: InferenceDeploymentSpec) -> list[FieldProblem]:
    """List everything at once, in a fixed order, so that a user sees all of it."""
    args = refusals(dict(spec.engine.args or {}), options_of(spec))
    return [*_model(spec), *args, *_conflicts(spec), *_environment(spec), *_pod(spec)]


def unsupported_model(spec: InferenceDeploymentSpec, profile: ModelProfile) -> FieldProblem | None:
    """Say what the engine cannot make out of this checkpoint."""
    if spec.engine.name is EngineName.VLLM:
        try:
            quantization_arguments(spec.model.quantization, profile, options_of(spec))
        except UnrenderableError as error:
            return FieldProblem("spec.model.quantization", error.reason, error.message)
    return None


def _model(spec: InferenceDeploymentSpec) -> Iterator[FieldProblem]:
    if spec.engine.name is EngineName.TRTLLM:
        yield from _trtllm_model(spec)
        yield from _trtllm_words(spec)


def _trtllm_words(spec: InferenceDeploymentSpec) -> Iterator[FieldProblem]:
    """Words that the launcher of several pods would break, unless the spec says that there is one."""
    if spec.layout and spec.layout.nodes_per_replica == 1:
        return
    options = options_of(spec)
    words = [("spec.model", model_argument(spec)), ("spec.model.revision", spec.model.revision or "")]
    words += [
        (path_of(("spec", "engine", "args", name)), value)
        for name, value in sorted((spec.engine.args or {}).items())
        if canonical(name, options) not in options.yaml_keys
    ]
    for field, word in words:
        if word and not PLAIN.fullmatch(word):
            yield FieldProblem(
                field,
                Reason.UNSUPPORTED_ARGUMENT,
                f"{word!r} would not reach trtllm-serve over several pods: its launcher cuts words at spaces and "
                "expands * ? [ ]; change it, or pin spec.layout.nodesPerReplica: 1",
            )


def _trtllm_model(spec: InferenceDeploymentSpec) -> Iterator[FieldProblem]:
    argument = model_argument(spec)
    name = argument.rpartition("/")[2] if argument.startswith("/") else spec.model.id
    if spec.model.served_name and spec.model.served_name != name:
        yield FieldProblem(
            "spec.model.servedName",
            Reason.UNSUPPORTED_ARGUMENT,
            f"trtllm-serve has no option for the served name: it answers as {name!r}; remove servedName",
        )
    if spec.model.quantization:
        yield FieldProblem(
            "spec.model.quantization",
            Reason.UNSUPPORTED_ARGUMENT,
            "trtllm-serve runs a checkpoint as it is quantised: name a checkpoint that is, and remove this field",
        )


def _conflicts(spec: InferenceDeploymentSpec) -> Iterator[FieldProblem]:
    """One fact in two places."""
    options = options_of(spec)
    given = {canonical(name, options): name for name in spec.engine.args or {}}
    option = "max-model-len" if spec.engine.name is EngineName.VLLM else "max_seq_len"
    if spec.objective.context_length and option in given:
        yield FieldProblem(
            path_of(("spec", "engine", "args", given[option])),
            Reason.UNSUPPORTED_ARGUMENT,
            "spec.objective.contextLength says the same: keep one of them",
        )
    yield from _unseen_memory(spec)


def _unseen_memory(spec: InferenceDeploymentSpec) -> Iterator[FieldProblem]:
    """Keys of trtllm's cache configuration that change memory behind the forecast's back."""
    text = (spec.engine.args or {}).get("kv_cache_config", "")
    config = yaml.safe_load(text) if is_yaml(text) else None
    for key in sorted(set(config) & set(UNSEEN_MEMORY)) if isinstance(config, dict) else ():
        yield FieldProblem("spec.engine.args.kv_cache_config", Reason.UNSUPPORTED_ARGUMENT, UNSEEN_MEMORY[key])


def _environment(spec: InferenceDeploymentSpec) -> Iterator[FieldProblem]:
    named = [(f"spec.engine.env[{i}]", variable.name) for i, variable in enumerate(spec.engine.env or ())]
    named += [(f"spec.podTemplate.env[{i}]", str(v.get("name"))) for i, v in enumerate(spec.pod_template.env or ())]
    for field, name in named:
        owner = RESERVED_ENV.get(name) or ("the operator" if name.startswith("SHARDWRIGHT_") else "")
        if owner:
            yield FieldProblem(field, Reason.UNSUPPORTED_ARGUMENT, f"{name} is set by {owner}: remove it")


def _pod(spec: InferenceDeploymentSpec) -> Iterator[FieldProblem]:
    """Resources that the layout decides, and volumes that are the operator's."""
    template = spec.pod_template
    for index, volume in enumerate(template.volumes or ()):
        if volume.get("name") in RESERVED_VOLUMES:
            yield FieldProblem(
                f"spec.podTemplate.volumes[{index}].name",
                Reason.UNSUPPORTED_ARGUMENT,
                f"a volume called {volume['name']} is the operator's: give yours another name",
            )
    for index, container in enumerate(template.init_containers or ()):
        if container.get("name") == CONTAINER:
            yield FieldProblem(
                f"spec.podTemplate.initContainers[{index}].name",
                Reason.UNSUPPORTED_ARGUMENT,
                f"the operator's own init container is called {CONTAINER}: give yours another name",
            )
    for index, mount in enumerate(template.volume_mounts or ()):
        if str(mount.get("mountPath", "")).rstrip("/") in RESERVED_PATHS:
            yield FieldProblem(
                f"spec.podTemplate.volumeMounts[{index}].mountPath",
                Reason.UNSUPPORTED_ARGUMENT,
                f"{mount['mountPath']} is mounted by the operator: mount yours elsewhere",
            )
    for kind in ("limits", "requests"):
        for resource in sorted((template.resources or {}).get(kind) or ()):
            if is_gpu_resource(resource):
                yield FieldProblem(
                    path_of(("spec", "podTemplate", "resources", kind, resource)),
                    Reason.UNSUPPORTED_ARGUMENT,
                    f"{resource} follows from the layout: pin spec.layout instead",
                )
