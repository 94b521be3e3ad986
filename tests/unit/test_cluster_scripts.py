"""The kind configuration for both node images. The stock one, which needs a registry, is rendered here and no more."""

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

SCRIPTS = Path(__file__).resolve().parents[2] / "e2e" / "cluster"


def rendered(flavour: str, tmp_path: Path, **environment: str) -> dict[str, Any]:
    everything = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), **environment}
    command = [str(SCRIPTS / "kind-config.sh"), flavour]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=everything)
    config: dict[str, Any] = yaml.safe_load(done.stdout)
    return config


def test_the_stock_image_gets_an_unpatched_configuration(tmp_path: Path) -> None:
    config = rendered("stock", tmp_path)
    assert (config["kind"], config["apiVersion"]) == ("Cluster", "kind.x-k8s.io/v1alpha4")
    assert config["nodes"] == [{"role": "control-plane"}, *[{"role": "worker"}] * 3]
    assert set(config) == {"kind", "apiVersion", "networking", "nodes"}


def test_the_local_image_gets_what_cgroup_v1_needs(tmp_path: Path) -> None:
    config = rendered("local", tmp_path)
    (patch,) = [yaml.safe_load(text) for text in config["kubeadmConfigPatches"]]
    assert patch["kind"] == "KubeletConfiguration"
    assert (patch["cgroupDriver"], patch["failCgroupV1"]) == ("cgroupfs", False)


def test_folders_of_the_host_are_mounted_read_only_into_workers(tmp_path: Path) -> None:
    config = rendered("stock", tmp_path, FLEET="h100 l40s", EXTRA_MOUNTS="/a:/b /c:/d")
    assert "extraMounts" not in config["nodes"][0]
    mounts = [
        {"hostPath": "/a", "containerPath": "/b", "readOnly": True},
        {"hostPath": "/c", "containerPath": "/d", "readOnly": True},
    ]
    assert [node["extraMounts"] for node in config["nodes"][1:]] == [mounts, mounts]
