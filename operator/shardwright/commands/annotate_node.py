"""`shardwright annotate-node`: write what this node's own tools and kernel say of its links as annotations on its Node.

Meant for a DaemonSet, so that nobody types them. Runs tools, reads sysfs and sends one patch; topology decides.
"""

import asyncio
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Annotated

import typer
import yaml

from shardwright.cluster.client import ApiClient, ApiError
from shardwright.cluster.kinds import NODE
from shardwright.cluster.login import LoginError, login
from shardwright.commands.sysfs import read_adapters, read_machine
from shardwright.topology import UnreadableTopologyError, annotations_of, read_reading

MANAGER = "shardwright-annotate-node"
TOOLS = (("nvidia-smi", "topo", "-m"), ("amd-smi", "topology"), ("rocm-smi", "--showtopo"))
_TOOL_PATIENCE_SECONDS = 60
REWRITE_SECONDS = 3600
"""Even where nothing changed, so that an annotation that somebody removed comes back."""
_EXPECTED = (UnreadableTopologyError, LoginError, ApiError, OSError, subprocess.SubprocessError)


def command(
    node_name: Annotated[str, typer.Option(envvar="NODE_NAME", help="The Node object to annotate.")] = "",
    topology: Annotated[
        Path | None, typer.Option(help="Read this file instead of running nvidia-smi, amd-smi or rocm-smi.")
    ] = None,
    sysfs: Annotated[Path, typer.Option(help="Where the kernel's /sys is mounted.")] = Path("/sys"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the annotations and write nothing.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also overwrite annotations that somebody else wrote.")
    ] = False,
    every_seconds: Annotated[int, typer.Option(min=0, help="Look this often, and write what changed; 0 = once.")] = 0,
) -> None:
    """Write this node's links as annotations on its Node object."""
    told_to_stop = threading.Event()
    if every_seconds:
        signal.signal(signal.SIGTERM, lambda *_: told_to_stop.set())
    written: dict[str, str] | None = None
    written_at = 0.0
    while not told_to_stop.is_set():
        try:
            found = _look(topology, sysfs)
            if dry_run:
                typer.echo(yaml.safe_dump(found, width=1000), nl=False)
            elif found != written or time.monotonic() - written_at > REWRITE_SECONDS:
                asyncio.run(_write(node_name, found, force=force))
                written, written_at = found, time.monotonic()
                typer.echo(f"{node_name}: {', '.join(f'{key}={value}' for key, value in sorted(found.items()))}")
        except _EXPECTED as error:
            typer.echo(f"shardwright annotate-node: {_sentence(error)}", err=True)
            if not every_seconds:
                raise typer.Exit(1) from None
        if not every_seconds:
            return
        told_to_stop.wait(every_seconds)


def _look(topology: Path | None, sysfs: Path) -> dict[str, str]:
    """What is true of this node now. Raises OSError where there is neither a tool nor a GPU."""
    machine = read_machine(sysfs)
    text = _tool_output(topology)
    if text is None and not machine.gpus:
        raise FileNotFoundError(
            f"none of {', '.join(tool[0] for tool in TOOLS)} is on the PATH, and {sysfs} shows no GPU; "
            "is the GPU runtime set up here?"
        )
    return annotations_of(read_reading(text) if text is not None else None, list(read_adapters(sysfs)), machine)


def _tool_output(file: Path | None) -> str | None:
    """What the first tool that is there prints; None where there is none."""
    if file is not None:
        return file.read_bytes().decode("utf-8", "replace")
    for tool in TOOLS:
        if path := shutil.which(tool[0]):
            done = subprocess.run(
                [path, *tool[1:]], capture_output=True, text=True, check=True, timeout=_TOOL_PATIENCE_SECONDS
            )
            return done.stdout
    return None


async def _write(node_name: str, annotations: dict[str, str], *, force: bool) -> None:
    """Server-side apply under a manager of its own: what the tools no longer say goes away, what others wrote stays.

    Where others wrote some of the annotations, the rest is written before the refusal is raised.
    """
    if not node_name:
        raise LoginError("which node? give --node-name, or NODE_NAME from the pod's spec.nodeName")
    async with ApiClient(await login()) as client:
        try:
            await client.apply(_document(node_name, annotations), NODE, manager=MANAGER, force=force)
        except ApiError as error:
            free = {key: value for key, value in annotations.items() if key not in error.message}
            if error.status == 409 and free and len(free) < len(annotations):
                await client.apply(_document(node_name, free), NODE, manager=MANAGER, force=False)
            raise


def _document(node_name: str, annotations: dict[str, str]) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node_name, "annotations": annotations}}


def _sentence(error: Exception) -> str:
    if isinstance(error, ApiError) and error.status == 409:
        return f"somebody else wrote one of these annotations; delete it, or use --force ({error.message})"
    if isinstance(error, subprocess.CalledProcessError):
        return f"{error.cmd[0]} failed: {(error.stderr or error.stdout or '').strip()[:300]}"
    return str(error)
