"""What an engine asks of a pod, as frozen values: command, environment, ports, probes, volumes, files.

Says nothing of Kubernetes objects: manifests turn these values into them. Nothing here decides.
"""

from dataclasses import dataclass

SERVING_PORT = 8000
"""Where every leader serves its HTTP API."""
FILES_PATH = "/etc/shardwright"
"""Where the program's files appear in the container."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: a literal, a field of the pod, or a key of a Secret."""

    name: str
    value: str = ""
    field_path: str = ""
    secret_name: str = ""
    secret_key: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """An HTTP probe of one of the program's ports; times in seconds."""

    path: str
    port: int
    period_seconds: int
    timeout_seconds: int
    failure_threshold: int


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume of the pod and where the engine sees it; at most one source is set, none means an empty folder."""

    name: str
    mount_path: str
    read_only: bool = False
    claim: str = ""
    host_path: str = ""
    create_host_path: bool = False
    image: str = ""
    secret: str = ""
    sub_path: str = ""
    """Folder inside the source; empty = its root."""
    size: str = ""
    """A claim of the pod's own of this size is made and removed with the pod."""
    storage_class: str = ""
    """Of that claim; empty = the cluster's default."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """A program that runs to its end in the engine's image before the engine starts."""

    name: str
    command: tuple[str, ...]
    env: tuple[Variable, ...]
    volumes: tuple[Volume, ...]
    """As it mounts them, by the names of the program's own."""


@dataclass(frozen=True, slots=True)
class PodProgram:
    """What every pod of one replica runs; leader and followers share it."""

    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    env: tuple[Variable, ...]
    ports: tuple[tuple[str, int], ...]
    startup: Probe
    readiness: Probe
    liveness: Probe
    shm_bytes: int
    """Size limit of /dev/shm, which counts against the memory limit."""
    grace_seconds: int
    """From the first signal to the kill: pre-stop, drain and a margin."""
    pre_stop_seconds: int
    """Time for the endpoint to leave the Service before the engine hears the signal."""
    volumes: tuple[Volume, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    """(name, text) under FILES_PATH."""
    capabilities: tuple[str, ...] = ()
    devices: tuple[tuple[str, int], ...] = ()
    """Extended resources besides GPUs, such as RDMA devices, and how many of each."""
    requests: tuple[tuple[str, str], ...] = ()
    """Amounts of cpu and memory where the user names none."""
    assumptions: tuple[str, ...] = ()
    preparation: Preparation | None = None


def shared_memory_bytes(gpus_per_pod: int) -> int:
    """Size of /dev/shm: message queues take 10 x 16 MiB each, NCCL more; vLLM's documentation gives 8 GPUs 16 GiB."""
    return (1 + 2 * gpus_per_pod) << 30
