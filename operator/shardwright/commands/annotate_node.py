"""`shardwright annotate-node`: write what this node's own tools say of its links as annotations on its Node object.

Meant for a DaemonSet, so that nobody types them. Runs tools, reads sysfs and sends one patch; topology decides.
"""

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
import yaml

from shardwright.cluster.client import ApiClient, ApiError
from shardwright.cluster.kinds import NODE
from shardwright.cluster.login import LoginError, login
from shardwright.topology import Adapter, UnreadableTopologyError, annotations_of, read_reading

MANAGER = "shardwright-annotate-node"
TOOLS = (("nvidia-smi", "topo", "-m"), ("amd-smi", "topology"), ("rocm-smi", "--showtopo"))
_TOOL_PATIENCE_SECONDS = 60


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
    every_seconds: Annotated[int, typer.Option(min=0, help="Repeat this often; 0 = once.")] = 0,
) -> None:
    """Write this node's links as annotations on its Node object."""
    while True:
        try:
            found = annotations_of(read_reading(_tool_output(topology)), list(_adapters(sysfs)))
            if dry_run:
                typer.echo(yaml.safe_dump(found, width=1000), nl=False)
            else:
                asyncio.run(_write(node_name, found, force=force))
                typer.echo(f"{node_name}: {', '.join(f'{key}={value}' for key, value in sorted(found.items()))}")
        except (UnreadableTopologyError, LoginError, ApiError, OSError, subprocess.SubprocessError) as error:
            typer.echo(f"shardwright annotate-node: {_sentence(error)}", err=True)
            if not every_seconds:
                raise typer.Exit(1) from None
        if not every_seconds:
            return
        time.sleep(every_seconds)


def _tool_output(file: Path | None) -> str:
    """What the first tool that is there prints. Raises OSError where there is none."""
    if file is not None:
        return file.read_bytes().decode("utf-8", "replace")
    for tool in TOOLS:
        if path := shutil.which(tool[0]):
            done = subprocess.run(
                [path, *tool[1:]], capture_output=True, text=True, check=True, timeout=_TOOL_PATIENCE_SECONDS
            )
            return done.stdout
    raise FileNotFoundError(
        f"none of {', '.join(tool[0] for tool in TOOLS)} is on the PATH; is the GPU runtime set up here?"
    )


def _adapters(sysfs: Path) -> Iterator[Adapter]:
    """The ports of all RDMA devices; a file that cannot be read counts as empty."""
    for port in sorted(sysfs.glob("class/infiniband/*/ports/*")):
        device = port.parent.parent
        driver = (device / "device" / "driver").resolve().name
        yield Adapter(
            device.name, _content(port / "link_layer"), _content(port / "rate"), _content(port / "state"), driver
        )


def _content(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except OSError:
        return ""


async def _write(node_name: str, annotations: dict[str, str], *, force: bool) -> None:
    """Server-side apply under a manager of its own: what the tools no longer say goes away, what others wrote stays."""
    if not node_name:
        raise LoginError("which node? give --node-name, or NODE_NAME from the pod's spec.nodeName")
    document = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node_name, "annotations": annotations}}
    async with ApiClient(await login()) as client:
        await client.apply(document, NODE, manager=MANAGER, force=force)


def _sentence(error: Exception) -> str:
    if isinstance(error, ApiError) and error.status == 409:
        return f"somebody else wrote one of these annotations; delete it, or use --force ({error.message})"
    if isinstance(error, subprocess.CalledProcessError):
        return f"{error.cmd[0]} failed: {(error.stderr or error.stdout or '').strip()[:300]}"
    return str(error)
