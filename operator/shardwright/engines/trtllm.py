"""`trtllm-serve` for one replica on the PyTorch backend: in one pod, or over several as one MPI world.

A world has one rank for each GPU; `trtllm-llmapi-launch` runs in all of them and the server in rank 0. Rank = pipeline
rank x tensor ranks + tensor rank, and mpirun numbers the ranks of one pod in a row, so a pod holds whole tensor groups
when they have at most its GPUs.

Attention data parallelism has no flag of its own: the ranks of tp_size become data-parallel by a key of the options
file. No key stands both on the command line and in the file, because versions differ in which of the two wins.
"""

import re
from dataclasses import replace
from typing import Any

import yaml

from shardwright.api.reasons import Reason
from shardwright.engines import fabric, footprint
from shardwright.engines.context import GroupContext, Rendering, UnrenderableError
from shardwright.engines.group import member_command, member_env, member_file, member_probes, server_probes
from shardwright.engines.mpi import LAUNCH_PORT, agent_file, follower_command, launch_env, launch_volume, world
from shardwright.engines.options import arguments, canonical
from shardwright.engines.program import FILES_PATH, SERVING_PORT, PodProgram, Variable, shared_memory_bytes
from shardwright.engines.sources import CACHE_PATH, ModelLocation, cache_volume, model_location

SERVER, LAUNCHER = "trtllm-serve", "trtllm-llmapi-launch"
PLAIN = re.compile(r"[^\s*?\[\]]+")
"""A word that the launcher, a shell script that does not quote, passes on as it is."""
OPTIONS_FILE = "llm-api-options.yaml"
FRACTION = "kv_cache_free_gpu_memory_fraction"
CACHE_CONFIG = "kv_cache_config"


def program(rendering: Rendering) -> PodProgram:
    """Render the replica's pods. Raises UnrenderableError for what trtllm-serve cannot run."""
    context, layout = rendering.context, rendering.placement.layout
    _check(rendering)
    location = model_location(rendering)
    document = _document(rendering)
    files = ((OPTIONS_FILE, yaml.safe_dump(document, sort_keys=True)),) if document else ()
    startup, readiness, liveness = server_probes(context)
    one_pod = PodProgram(
        image=context.image,
        command=(SERVER,),
        args=_arguments(rendering, location, document),
        env=(Variable("HF_HOME", f"{CACHE_PATH}/huggingface"), *location.env, *fabric.environment(rendering)),
        ports=(("http", SERVING_PORT),),
        startup=startup,
        readiness=readiness,
        liveness=liveness,
        shm_bytes=shared_memory_bytes(layout.gpus_per_pod),
        grace_seconds=context.grace_seconds,
        pre_stop_seconds=context.pre_stop_seconds,
        volumes=(*location.volumes, cache_volume(rendering)),
        files=(*files, *location.files),
        preparation=location.preparation,
        devices=fabric.devices(rendering),
        requests=footprint.requests(rendering),
        assumptions=tuple(text for text in (rendering.options.assumption,) if text),
    )
    return one_pod if context.size == 1 else _over_pods(one_pod, context, layout.gpus_per_pod)


def _over_pods(program: PodProgram, context: GroupContext, ranks_per_pod: int) -> PodProgram:
    """Make a group of it: the leader runs mpirun around the same words, followers wait for it."""
    startup, readiness, liveness = member_probes(context)
    words = (LAUNCHER, *program.command, *program.args)
    for word in words:
        if not PLAIN.fullmatch(word):
            raise UnrenderableError(
                Reason.UNSUPPORTED_ARGUMENT,
                f"{word!r} reaches trtllm-serve in one pod only: over several its launcher cuts words at spaces and "
                "expands * and ?; remove it from engine.args or run in one pod",
            )
    return replace(
        program,
        command=member_command(follower_runs=follower_command()),
        args=(*world(context, ranks_per_pod), *words, f"--gpus_per_node={ranks_per_pod}"),
        env=(*program.env, *member_env(context), *launch_env(SERVER)),
        ports=(*program.ports, ("member", startup.port), ("launch", LAUNCH_PORT)),
        startup=startup,
        readiness=readiness,
        liveness=liveness,
        volumes=(*program.volumes, launch_volume(context)),
        files=(*program.files, member_file(), agent_file()),
    )


def _check(rendering: Rendering) -> None:
    layout, vendor = rendering.placement.layout, rendering.placement.vendor
    if vendor not in rendering.options.images:
        raise UnrenderableError(Reason.ENGINE_DOES_NOT_SUPPORT_VENDOR, f"trtllm-serve does not run on GPUs of {vendor}")
    if layout.data > 1 and layout.tensor > 1:
        raise UnrenderableError(
            Reason.NOT_SUPPORTED_YET,
            f"trtllm-serve makes attention data-parallel over all ranks: tensor is 1 then, not {layout.tensor}",
        )
    if (layout.data > 1 or layout.expert) and not rendering.profile.is_mixture_of_experts:
        raise UnrenderableError(Reason.NOT_A_MIXTURE_OF_EXPERTS, f"{layout} needs a mixture of experts")


def _arguments(rendering: Rendering, location: ModelLocation, document: dict[str, Any]) -> tuple[str, ...]:
    spec, layout = rendering.spec, rendering.placement.layout
    ranks = layout.tensor * layout.data
    args = dict(spec.engine.args or {})
    given = {canonical(name, rendering.options) for name in args}
    words = [location.argument, "--host=0.0.0.0", f"--port={SERVING_PORT}"]
    words += [f"--tp_size={ranks}", f"--pp_size={layout.pipeline}"]
    if layout.expert:
        words.append(f"--ep_size={ranks}")
    if spec.model.revision and not location.is_local:
        words.append(f"--revision={spec.model.revision}")
    if rendering.placement.memory.context_length and "max_seq_len" not in given:
        words.append(f"--max_seq_len={rendering.placement.memory.context_length}")
    if CACHE_CONFIG not in document:
        words.append(f"--{FRACTION}={_fraction(rendering)}")
    if document:
        words.append(f"--extra_llm_api_options={FILES_PATH}/{OPTIONS_FILE}")
    others = {name: value for name, value in args.items() if canonical(name, rendering.options) != FRACTION}
    return (*words, *arguments(others, rendering.options))


def _fraction(rendering: Rendering) -> str:
    """Give the user's fraction of free memory, else the one that the forecast was made with."""
    args = rendering.spec.engine.args or {}
    given = (value for name, value in args.items() if canonical(name, rendering.options) == FRACTION)
    return next(given, rendering.memory_fraction)


def _document(rendering: Rendering) -> dict[str, Any]:
    """Write the options file: the keys without a flag. A cache configuration there replaces the cache's flags."""
    document: dict[str, Any] = {}
    if rendering.placement.layout.data > 1:
        document["enable_attention_dp"] = True
    for name, value in sorted((rendering.spec.engine.args or {}).items()):
        if name in rendering.options.yaml_keys:
            document[name] = yaml.safe_load(value)
    if CACHE_CONFIG in document:
        document[CACHE_CONFIG] = {"free_gpu_memory_fraction": float(_fraction(rendering)), **document[CACHE_CONFIG]}
    return document
