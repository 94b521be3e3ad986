"""annotate-node writes on a real API server, and leaves alone what somebody else wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.cluster import ControlPlane

DUMP = Path(__file__).parents[1] / "data" / "topology" / "topo" / "46-h100-pcie-x8-bridge-crosses-sockets.txt"
ISLANDS, LINK = "shardwright.io/gpu-islands", "shardwright.io/gpu-link"


def annotate(cluster: ControlPlane, node: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shardwright", "annotate-node", "--node-name", node, "--topology", str(DUMP), *options],
        env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def annotations(cluster: ControlPlane, node: str) -> dict[str, str]:
    found = cluster.kubectl.get("node", node)
    return dict(found["metadata"]["annotations"]) if found else {}


def test_writes_its_own_and_leaves_others_alone(cluster: ControlPlane) -> None:
    cluster.add_gpu_node("bridged", "h100")
    done = annotate(cluster, "bridged", "--sysfs", "/nonexistent")
    assert done.returncode == 0, done.stderr
    assert annotations(cluster, "bridged")[ISLANDS] == "0,5;1-2;3-4;6-7"

    cluster.kubectl.run("annotate", "node", "bridged", "--overwrite", f"{LINK}=pcie")
    refused = annotate(cluster, "bridged", "--sysfs", "/nonexistent")
    assert refused.returncode == 1
    assert "--force" in refused.stderr
    assert annotations(cluster, "bridged")[LINK] == "pcie"

    assert annotate(cluster, "bridged", "--sysfs", "/nonexistent", "--force").returncode == 0
    assert annotations(cluster, "bridged")[LINK] == "nvlink-bridge"
    assert "Traceback" not in done.stderr + refused.stderr
