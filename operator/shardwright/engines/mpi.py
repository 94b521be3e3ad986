"""One MPI world over the pods of a group, started without ssh: what the leader runs before its program, and followers.

No image needs an sshd, and no host keys exist that could go unchecked. Who starts a daemon proves the deployment's
secret (`files/mpi_agent.py`). Knows no engine.
"""

from functools import cache
from importlib.resources import files

from shardwright.engines.context import GroupContext
from shardwright.engines.program import FILES_PATH, Variable, Volume

LAUNCH_PORT = 29400
"""Where a follower's agent listens until the leader came."""
LAUNCH_PATH = "/etc/shardwright-launch"
"""The Secret's folder; beside FILES_PATH, because nothing can be mounted inside a read-only volume."""
LAUNCH_VOLUME = "launch"
SECRET_KEY = "secret"
AGENT = ("python3", f"{FILES_PATH}/mpi_agent.py")


def world(context: GroupContext, ranks_per_pod: int) -> tuple[str, ...]:
    """Write mpirun's words: ranks 0..N-1 in the first pod, the next N in the second, one for each GPU.

    Nothing is oversubscribed: a wrong number of ranks is an error. Ranks are not bound, because mpirun binds few ranks
    to one core each and an engine runs many threads in a rank. Names stay whole, because a pod's first label does not
    resolve. The daemon stays attached to its agent, or the follower would look ended. It has its own container's
    environment, so nothing needs to be forwarded with -x, and what is each pod's own (devices, addresses) stays so.
    """
    hosts = ",".join(f"{host}:{ranks_per_pod}" for host in context.hosts)
    settings = (
        ("plm_rsh_agent", " ".join((*AGENT, "rsh"))),
        ("plm_rsh_no_tree_spawn", "1"),
        ("orte_leave_session_attached", "1"),
        ("orte_keep_fqdn_hostnames", "1"),
        ("pml", "ob1"),
        ("btl", "tcp,self"),
    )
    said = [word for name, value in settings for word in ("--mca", name, value)]
    placed = ["-H", hosts, "--map-by", f"ppr:{ranks_per_pod}:node", "--bind-to", "none"]
    return ("mpirun", "--allow-run-as-root", *said, *placed, "-n", str(ranks_per_pod * context.size))


def follower_command() -> tuple[str, ...]:
    """Write what a follower runs instead of the engine: it starts MPI's daemon once the leader asks for it."""
    return (*AGENT, "serve")


def launch_env(server: str) -> tuple[Variable, ...]:
    """Set what agent and member read: where the secret is, and which program drains when the pod is to stop.

    mpirun kills its ranks a second after it is told to stop, so the server among them is told instead.
    """
    return (
        Variable("SHARDWRIGHT_MPI_PORT", str(LAUNCH_PORT)),
        Variable("SHARDWRIGHT_MPI_SECRET_FILE", f"{LAUNCH_PATH}/{SECRET_KEY}"),
        Variable("SHARDWRIGHT_SERVER", server),
    )


def launch_volume(context: GroupContext) -> Volume:
    """Mount the deployment's secret."""
    return Volume(LAUNCH_VOLUME, LAUNCH_PATH, read_only=True, secret=context.launch_secret)


@cache
def agent_file() -> tuple[str, str]:
    """Name and text of the agent's program."""
    return "mpi_agent.py", files("shardwright.engines").joinpath("files", "mpi_agent.py").read_text("utf-8")
