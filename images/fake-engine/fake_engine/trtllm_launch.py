"""`trtllm-llmapi-launch`, played: it runs in every rank of an MPI world. Rank 0 starts the server, the others work for it.

The real ranks speak MPI; these meet at rank 0 over TCP, at one of the addresses that mpirun gives its ranks, and part
when it ends. Words are cut at spaces, as the real script does, which expands them unquoted.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import signal
import socket
import sys
from collections.abc import Mapping, Sequence

from fake_engine import gpus, knobs
from fake_engine.group import Group, Member
from fake_engine.journal import journal
from fake_engine.refusal import Refused, end

MPI_PREFIXES = (
    "OMPI_", "PMIX_", "PMI_", "SLURM_", "MPI_", "UCX_", "I_MPI_", "HYDRA_", "KMP_", "MPICH_", "MV2_", "CRAY_",
)  # fmt: skip
"""Variables that the real launcher takes away from the server, which must not know that it runs under MPI."""
WORLD_SIZE = "tllm_mpi_size"
log = journal("Launch")


def main() -> None:
    """The program `trtllm-llmapi-launch`."""
    try:
        code = asyncio.run(launch([part for word in sys.argv[1:] for part in word.split()], os.environ))
    except Refused as refused:
        end(refused)
    raise SystemExit(code)


async def launch(command: list[str], environment: Mapping[str, str]) -> int:
    """Run this rank to its end; returns the exit status."""
    tuned = knobs.read(environment)
    rank, size = (
        int(environment.get(f"OMPI_COMM_WORLD_{name}", default)) for name, default in (("RANK", 0), ("SIZE", 1))
    )
    _check_device(environment, tuned)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    group = await _world(rank, size, command, tuned, ended)
    if rank == 0:
        return await _lead(command, size, ended)
    if tuned.follower_dies_after_seconds:
        loop.call_later(tuned.follower_dies_after_seconds, os._exit, tuned.follower_exit_code)
    await ended.wait()
    await group.close()
    return 0


def _check_device(environment: Mapping[str, str], tuned: knobs.Knobs) -> None:
    """Each rank takes the GPU with its number among the ranks of its node."""
    granted, local = gpus.granted(environment, tuned.gpus), int(environment.get("OMPI_COMM_WORLD_LOCAL_RANK", 0))
    if granted is not None and local >= granted:
        raise Refused("CUDA error: invalid device ordinal", "torch.AcceleratorError")
    devices = environment.get("NVIDIA_VISIBLE_DEVICES", "").split(",")
    device = devices[local] if local < len(devices) else "unknown"
    log.info("rank %s runs on %s with GPU %s", environment.get("OMPI_COMM_WORLD_RANK", 0), socket.gethostname(), device)


async def _world(rank: int, size: int, command: list[str], tuned: knobs.Knobs, ended: asyncio.Event) -> Group:
    """Meet the other ranks: all are told the same command, or something is wrong with who told them."""
    settings = hashlib.sha256("\0".join(command).encode()).hexdigest()[:16]
    member = Member(rank, size, "trtllm", f"world of {size}", settings)
    host = "" if rank == 0 else await _reachable(root_addresses(os.environ), tuned)
    group = Group(member, host, tuned.mpi_port, tuned.group_timeout_seconds, lambda _rank: ended.set())
    await group.form()
    return group


def root_addresses(environment: Mapping[str, str]) -> list[str]:
    """Where mpirun runs, and with it rank 0: `JOB;tcp://ADDRESS,ADDRESS:PORT;tcp6://[ADDRESS]:PORT`."""
    found = re.findall(r"tcp6?://([^;]*):\d+", environment.get("OMPI_MCA_orte_hnp_uri", ""))
    return [address.strip("[]") for group in found for address in group.split(",")] or ["127.0.0.1"]


async def _reachable(addresses: Sequence[str], tuned: knobs.Knobs) -> str:
    """The first address at which rank 0 listens; it asks in turn, as MPI does."""
    deadline = asyncio.get_running_loop().time() + tuned.group_timeout_seconds
    while asyncio.get_running_loop().time() < deadline:
        for address in addresses:
            with contextlib.suppress(OSError, TimeoutError):
                _, writer = await asyncio.wait_for(asyncio.open_connection(address, tuned.mpi_port), 2)
                writer.close()
                return address
        await asyncio.sleep(0.2)
    raise Refused(f"rank 0 did not answer at any of {', '.join(addresses)}", "RuntimeError")


async def _lead(command: list[str], size: int, ended: asyncio.Event) -> int:
    """Run the server without MPI's variables; a lost rank or a signal ends it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(MPI_PREFIXES)}
    environment |= {WORLD_SIZE: str(size), "TLLM_SPAWN_PROXY_PROCESS": "1"}
    server = await asyncio.create_subprocess_exec(*command, env=environment)
    lost = asyncio.create_task(ended.wait())
    serving = asyncio.create_task(server.wait())
    await asyncio.wait({lost, serving}, return_when=asyncio.FIRST_COMPLETED)
    if not serving.done():
        log.error("a rank is gone or this one was told to stop: the server ends")
        server.terminate()
        await serving
        return 1
    return int(serving.result())
