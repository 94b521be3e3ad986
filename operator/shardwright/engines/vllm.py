"""`vllm serve` for one replica: in one pod, or over several by vLLM's own multiprocessing groups (no Ray).

Rank = pipeline rank x TP + tensor rank, so a pod holds whole tensor groups when TP <= GPUs per pod.
"""

from shardwright.api.reasons import Reason
from shardwright.engines import fabric, footprint
from shardwright.engines.context import Rendering, UnrenderableError
from shardwright.engines.group import member_command, member_env, member_file, member_probes, server_probes
from shardwright.engines.options import arguments, canonical
from shardwright.engines.program import SERVING_PORT, PodProgram, Variable, shared_memory_bytes
from shardwright.engines.sources import CACHE_PATH, ModelLocation, cache_volume, model_location
from shardwright.engines.words import quantization_arguments
from shardwright.plan.balancing import ranks_per_pod

MASTER_PORT = 29501
"""torch rendezvous of a group; vLLM's own default, stated so that it is one number everywhere."""
DATA_PARALLEL_PORT = 29550
API_SERVERS = "api-server-count"


def program(rendering: Rendering) -> PodProgram:
    """Render the replica's pods. Raises UnrenderableError for a layout that vLLM cannot form."""
    context, layout = rendering.context, rendering.placement.layout
    _check(rendering)
    location = model_location(rendering)
    serve: tuple[str, ...] = ("vllm", "serve")
    words = _arguments(rendering, location)
    env = _environment(rendering, location) + fabric.environment(rendering)
    startup, readiness, liveness = server_probes(context)
    ports: tuple[tuple[str, int], ...] = (("http", SERVING_PORT),)
    files: tuple[tuple[str, str], ...] = ()
    command = serve
    if context.size > 1:
        command, words = member_command(*_by_role(rendering)), serve + words
        env += member_env(context)
        startup, readiness, liveness = member_probes(context)
        ports += (("member", startup.port),)
        files = (member_file(),)
    return PodProgram(
        image=context.image,
        command=command,
        args=words,
        env=env,
        ports=ports,
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


def _check(rendering: Rendering) -> None:
    """Refuse what vLLM's parallel configuration would refuse only once the pods run."""
    layout = rendering.placement.layout
    if layout.data > 1 and not rendering.profile.is_mixture_of_experts:
        message = "layout.data > 1 needs a mixture of experts: use replicas"
        raise UnrenderableError(Reason.NOT_A_MIXTURE_OF_EXPERTS, message)
    if layout.expert and not rendering.profile.is_mixture_of_experts:
        raise UnrenderableError(Reason.NOT_A_MIXTURE_OF_EXPERTS, "layout.expert needs a mixture of experts")
    rank, pod = layout.tensor * layout.pipeline, layout.gpus_per_pod
    if layout.data > 1 and rank % pod and pod % rank:
        raise UnrenderableError(
            Reason.MULTI_NODE_NOT_SUPPORTED,
            f"the ranks of {layout} have {rank} GPUs and its pods {pod}: a data-parallel rank must fill whole pods, or "
            "a pod whole ranks; choose another nodesPerReplica",
        )


def _arguments(rendering: Rendering, location: ModelLocation) -> tuple[str, ...]:
    """Everything after `vllm serve`, the same for every pod of the group."""
    spec, layout = rendering.spec, rendering.placement.layout
    args = dict(spec.engine.args or {})
    words = [location.argument, f"--served-model-name={location.served_name}"]
    words += ["--host=0.0.0.0", f"--port={SERVING_PORT}"]
    if spec.model.revision and not location.is_local:
        words.append(f"--revision={spec.model.revision}")
    words += [f"--tensor-parallel-size={layout.tensor}", f"--pipeline-parallel-size={layout.pipeline}"]
    if layout.data > 1:
        words.append(f"--data-parallel-size={layout.data}")
    if layout.expert:
        words.append("--enable-expert-parallel")
    words += _group_arguments(rendering)
    words += quantization_arguments(spec.model.quantization, rendering.profile, rendering.options)
    words += _memory_arguments(rendering, args)
    words.append(f"--shutdown-timeout={rendering.context.drain_seconds}")
    words += fabric.vllm_arguments(rendering)
    by_role = _front_arguments(rendering) if rendering.context.size > 1 else {}
    common = {name: value for name, value in args.items() if name not in by_role}
    return (*words, *arguments(common, rendering.options))


def _group_arguments(rendering: Rendering) -> list[str]:
    """Say where this pod is in its group. The local size is said, because vLLM's count of API servers follows it."""
    context = rendering.context
    if context.size == 1:
        return []
    local = f"--data-parallel-size-local={ranks_per_pod(rendering.placement.layout)}"
    return [
        *(("--data-parallel-hybrid-lb", local) if context.every_pod_serves else ()),
        f"--nnodes={context.size}",
        "--node-rank=$(SHARDWRIGHT_POD_INDEX)",
        f"--master-addr={context.leader}",
        f"--master-port={MASTER_PORT}",
        f"--distributed-timeout-seconds={context.startup_seconds}",
    ]


def _by_role(rendering: Rendering) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words for the leader alone and for followers alone. The leader binds the data-parallel address: a number."""
    front = tuple(arguments(_front_arguments(rendering), rendering.options))
    follower = front if rendering.context.every_pod_serves else ("--headless",)
    if rendering.placement.layout.data == 1:
        return front, follower
    port = f"--data-parallel-rpc-port={DATA_PARALLEL_PORT}"
    return (
        ("--data-parallel-address=$(POD_IP)", port, *front),
        (*follower, f"--data-parallel-address={rendering.context.leader}", port),
    )


def _front_arguments(rendering: Rendering) -> dict[str, str]:
    """Pick the user's arguments that vLLM refuses beside --headless: said only where there is an API."""
    args = rendering.spec.engine.args or {}
    return {name: value for name, value in args.items() if canonical(name, rendering.options) == API_SERVERS}


def _memory_arguments(rendering: Rendering, args: dict[str, str]) -> list[str]:
    """State what the forecast was made with, so that a later default of the engine cannot change it."""
    given = {name.replace("_", "-") for name in args}
    words = []
    if rendering.placement.memory.context_length and "max-model-len" not in given:
        words.append(f"--max-model-len={rendering.placement.memory.context_length}")
    if not given & {"gpu-memory-utilization", "device-memory-utilization", "kv-cache-memory-bytes"}:
        words.append(f"--gpu-memory-utilization={rendering.memory_fraction}")
    return words


def _environment(rendering: Rendering, location: ModelLocation) -> tuple[Variable, ...]:
    """Name the pod's address, else the default route's is taken; let the engine wait as long as a start may last."""
    startup = str(rendering.context.startup_seconds)
    return (
        Variable("POD_IP", field_path="status.podIP"),
        Variable("VLLM_HOST_IP", "$(POD_IP)"),
        Variable("VLLM_ENGINE_READY_TIMEOUT_S", startup),
        Variable("VLLM_CACHE_ROOT", f"{CACHE_PATH}/vllm"),
        Variable("HF_HOME", f"{CACHE_PATH}/huggingface"),
        Variable("VLLM_NO_USAGE_STATS", "1"),
        *location.env,
    )
