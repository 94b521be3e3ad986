"""Real vLLM, on CPUs, deployed by the operator: each layout answers a chat and holds the KV tokens that were forecast.

A kind cluster of its own mounts vLLM's environment from the host. The model is random and tiny, made on the spot; the
GPUs are pretended, so that planning and scheduling go the usual way, and the engine's environment says to use CPUs.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.cluster import Cluster, existing_kind_cluster, kind_cluster, script
from support.installed import Installed, wait_gone
from support.kubectl import Object
from support.waiting import eventually

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]
HERE = Path(__file__).parent / "vllm"
KV_CACHE_BYTES = 1 << 30
CONTEXT_TOKENS = 512
START_SECONDS = 420


@dataclass(frozen=True, slots=True)
class RealVllm:
    """Where things lie on the host, and under the same paths in nodes and pods."""

    environment: Path
    interpreter: Path
    model: Path
    image: str

    @property
    def mounts(self) -> tuple[Path, ...]:
        return (self.environment, self.interpreter, self.model)


@pytest.fixture(scope="session")
def vllm() -> RealVllm:
    """Installed once into the cache; the model is written there too."""
    environment = Path(script("../vllm/install.sh"))
    model = environment.parent / f"tiny-model-{environment.name}"
    if not (model / "model.safetensors").exists():
        subprocess.run([environment / "bin/python", HERE / "tiny_model.py", str(model)], check=True)
    interpreter = (environment / "bin/python").resolve().parents[1]
    return RealVllm(environment, interpreter, model, script("../vllm/base-image.sh"))


@pytest.fixture(scope="session")
def real(vllm: RealVllm) -> Iterator[Installed]:
    """The chart in a cluster whose nodes carry vLLM's environment."""
    with _cluster(vllm) as cluster:
        script("load-images.sh", cluster.name, vllm.image)
        installed = Installed(cluster)
        installed.install()
        yield installed


def _cluster(vllm: RealVllm) -> AbstractContextManager[Cluster]:
    if name := os.environ.get("E2E_VLLM_CLUSTER"):
        return nullcontext(existing_kind_cluster(name))
    return kind_cluster(fleet="h100 h100", extra_mounts=" ".join(f"{path}:{path}" for path in vllm.mounts))


def spec(vllm: RealVllm, layout: dict[str, Any], replicas: int, *, eager: bool) -> dict[str, Any]:
    """A deployment with everything a CPU engine needs said in the resource alone."""
    arguments = {"dtype": "float32", **({"enforce-eager": "true"} if eager else {})}
    environment = {
        "PATH": f"{vllm.environment}/bin:/usr/local/bin:/usr/bin:/bin", "VLLM_TARGET_DEVICE": "cpu",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1", "HOME": "/var/cache/shardwright",
        "VLLM_CPU_KVCACHE_SPACE": str(KV_CACHE_BYTES >> 30),
    }  # fmt: skip
    volumes = [{"name": f"host-{i}", "hostPath": {"path": str(path)}} for i, path in enumerate(vllm.mounts[:2])]
    mounts = [{"name": f"host-{i}", "mountPath": str(path), "readOnly": True} for i, path in enumerate(vllm.mounts[:2])]
    return {
        "model": {
            "id": "example/tiny", "servedName": "tiny", "source": {"hostPath": {"path": str(vllm.model)}},
            "facts": {"configMapRef": {"name": "tiny"}},
        },
        "engine": {
            "image": vllm.image, "args": arguments,
            "env": [{"name": name, "value": value} for name, value in environment.items()],
        },
        "objective": {"contextLength": CONTEXT_TOKENS},
        "layout": layout, "placement": {"crossIslands": "Freely"}, "replicas": replicas, "startupTimeout": "15m",
        "podTemplate": {
            "volumes": volumes, "volumeMounts": mounts, "securityContext": {"runAsUser": 0}, "imagePullPolicy": "Never",
        },
    }  # fmt: skip


def logged_kv_tokens(log: str) -> int:
    """What the engine says that it holds."""
    found = re.search(r"KV cache size: ([0-9,]+) tokens", log)
    assert found, f"no KV cache size in the log:\n{log[-3000:]}"
    return int(found[1].replace(",", ""))


def forecast_kv_tokens(vllm: RealVllm, layout: dict[str, Any]) -> int:
    """What `shardwright estimate` says of the same layout with the same KV memory."""
    config = str(vllm.model / "config.json")
    request = {
        "id": "tiny", "nodes": layout.get("nodesPerReplica", 1), "engine": {"name": "vllm", "version": "0.32.0"},
        "model": {
            "config": config, "config_match": "exact", "model_id": "tiny", "dtype": "float32", "quantization": None,
        },
        "gpu": {"product": "H100", "memory_mib": 81090, "marketing_gb": 80, "per_node": 8},
        "layout": {
            "tensor": layout["tensor"], "pipeline": layout["pipeline"], "data": 1, "expert": False,
        },
        "engine_args": {"max_model_len": CONTEXT_TOKENS, "kv_cache_memory_bytes": KV_CACHE_BYTES},
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "shardwright", "estimate", "--requests", "/dev/stdin", "-o", "jsonl"],
        input=json.dumps(request), capture_output=True, text=True, check=True,
    )  # fmt: skip
    tokens: int = json.loads(done.stdout)["kv_cache_tokens"]
    return tokens


def leader_log(real: Installed, name: str, namespace: str) -> str:
    pods: list[Object] = real.kubectl.list(
        "pods", namespace, f"shardwright.io/deployment={name},apps.kubernetes.io/pod-index=0"
    )
    return real.logs(pods[0])


@dataclass(frozen=True, slots=True)
class Case:
    """One layout; pipeline stages need the compiled model, the others start sooner without."""

    name: str
    layout: dict[str, Any]
    replicas: int = 1
    eager: bool = True


CASES = (
    Case("tp2-two-pods", {"tensor": 2, "pipeline": 1, "nodesPerReplica": 2}),
    Case("tp2", {"tensor": 2, "pipeline": 1}),
    Case("dp2", {"tensor": 1, "pipeline": 1}, replicas=2),
    Case("pp2", {"tensor": 1, "pipeline": 2}, eager=False),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_real_vllm_answers_in_the_planned_layout(real: Installed, vllm: RealVllm, case: Case):
    """Data parallelism of a dense model is replicas; that of experts needs a collective that the CPU backend lacks."""
    name, layout, replicas = case.name, case.layout, case.replicas
    namespace = real.namespace()
    facts = {"config.json": (vllm.model / "config.json").read_text()}
    real.kubectl.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "tiny", "namespace": namespace}, "data": facts}
    )
    began = time.monotonic()
    real.apply(name, namespace, spec(vllm, layout, replicas, eager=case.eager))
    try:
        status = real.available(name, namespace, within_seconds=START_SECONDS)
        eventually(
            lambda: real.get(name, namespace)["status"]["readyReplicas"] == replicas,
            within_seconds=START_SECONDS, what="every replica is ready",
        )  # fmt: skip
        started_seconds = time.monotonic() - began
        pods = real.kubectl.list("pods", namespace, f"shardwright.io/deployment={name}")
        assert len(pods) == layout.get("nodesPerReplica", 1) * replicas
        real.ask(status["endpoint"], "tiny", "hello", "--tokens", "8")
        logged = logged_kv_tokens(leader_log(real, name, namespace))
        forecast = forecast_kv_tokens(vllm, layout)
        print(
            f"{name}: ready in {started_seconds:.0f} s, logged {logged} KV tokens, forecast {forecast}", file=sys.stderr
        )
        assert abs(forecast - logged) <= logged / 100
    finally:
        wait_gone(real, [namespace])
