"""How fast deployments become objects: the operator against a bare client that makes the same writes.

On a real control plane with nodes and pods simulated by kwok; validation, planning and RBAC are on, and there are GPUs
for all. The clock runs from the first POST of an InferenceDeployment to the last child seen by an independent watch.
What the operator writes for one deployment is recorded once by a proxy; the bare client sends exactly these
server-side applies, status included, for every deployment.

    .venv/bin/python bench/reconcile_rate.py [--sizes 1,10,100,500] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import ssl
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import yaml
from aiohttp import web

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.cluster import ControlPlane, control_plane_cluster
from support.operator_process import OperatorProcess

NAMESPACE = "bench"
SYSTEM = "shardwright-system"
IN_FLIGHT = 20
NODES, GPUS_PER_NODE = 66, 8
TEMPLATE = "bench-template"
HEALTH_PORT, METRICS_PORT = 18480, 18490
DEPLOYMENTS = f"/apis/shardwright.io/v1alpha1/namespaces/{NAMESPACE}/inferencedeployments"
CHILDREN = {
    "StatefulSet": f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets",
    "ControllerRevision": f"/apis/apps/v1/namespaces/{NAMESPACE}/controllerrevisions",
    "Service": f"/api/v1/namespaces/{NAMESPACE}/services",
    "PodDisruptionBudget": f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets",
}
CHILDREN_PER_DEPLOYMENT = 5
MARK = {"app.kubernetes.io/managed-by": "shardwright"}


@dataclass(frozen=True)
class Result:
    """One run, as it is printed and written to the JSON file."""

    who: str
    deployments: int
    seconds: float
    per_second: float
    median_seconds: float
    p95_seconds: float
    cpu_seconds: float | None = None
    peak_mib: float | None = None
    calls_per_deployment: float | None = None


@dataclass(frozen=True)
class Write:
    """One write of the operator for the template deployment."""

    method: str
    path: str
    content_type: str
    body: bytes


def manifest(name: str) -> dict[str, Any]:
    """One deployment of one GPU."""
    return {
        "apiVersion": "shardwright.io/v1alpha1", "kind": "InferenceDeployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"model": {"id": "Qwen/Qwen3-8B"}, "replicas": 1, "layout": {"tensor": 1, "pipeline": 1}},
    }  # fmt: skip


class Api:
    """A bare HTTP client with the operator's own identity."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.server = cluster["server"]
        self.headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        self.tls = _tls(cluster, user)
        self.session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Api:
        connector = aiohttp.TCPConnector(ssl=self.tls, limit=64)
        self.session = aiohttp.ClientSession(
            connector=connector, headers=self.headers, timeout=aiohttp.ClientTimeout(total=None)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.session:
            await self.session.close()

    async def call(
        self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json"
    ) -> dict[str, Any]:
        """One request. Raises RuntimeError on a refusal, except of a deletion of what is gone."""
        assert self.session
        async with self.session.request(
            method, self.server + path, data=body, headers={"Content-Type": content_type}
        ) as answer:
            content = await answer.read()
            if answer.status >= 400 and not (method == "DELETE" and answer.status == 404):
                raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
            return orjson.loads(content)


def _tls(cluster: dict[str, str], user: dict[str, str]) -> ssl.SSLContext | bool:
    if not cluster["server"].startswith("https"):
        return True
    context = ssl.create_default_context(cafile=cluster.get("certificate-authority"))
    if "client-certificate" in user:
        context.load_cert_chain(user["client-certificate"], user["client-key"])
    return context


class Seen:
    """An independent watch of all children: when each deployment had all of its own."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._names: dict[str, set[tuple[str, str]]] = {}
        self.complete: dict[str, float] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to watch; what is there already does not count."""
        for kind, path in CHILDREN.items():
            listed = await self._api.call("GET", path)
            self._tasks.append(asyncio.create_task(self._watch(kind, path, listed["metadata"]["resourceVersion"])))

    async def _watch(self, kind: str, path: str, version: str) -> None:
        assert self._api.session
        parameters = {"watch": "true", "resourceVersion": version, "labelSelector": "shardwright.io/deployment"}
        async with self._api.session.get(self._api.server + path, params=parameters) as answer:
            buffer = b""
            async for piece in answer.content.iter_any():
                *lines, buffer = (buffer + piece).split(b"\n")
                for line in lines:
                    if b'"ADDED"' in line[:40]:
                        self._added(kind, orjson.loads(line)["object"]["metadata"])

    def _added(self, kind: str, metadata: dict[str, Any]) -> None:
        owner = next(
            (r["name"] for r in metadata.get("ownerReferences", ()) if r["kind"] == "InferenceDeployment"), None
        )
        if owner is None:
            return
        names = self._names.setdefault(owner, set())
        names.add((kind, metadata["name"]))
        if len(names) == CHILDREN_PER_DEPLOYMENT:
            self.complete[owner] = time.perf_counter()

    async def wait(self, count: int, seconds: float) -> None:
        """Wait until so many deployments have all their children."""
        end = time.perf_counter() + seconds
        while len(self.complete) < count:
            if time.perf_counter() > end:
                raise RuntimeError(f"only {len(self.complete)} of {count} deployments have all their children")
            await asyncio.sleep(0.005)

    def stop(self) -> None:
        """End the watches."""
        for task in self._tasks:
            task.cancel()


async def measure(
    api: Api, names: list[str], each: Callable[[str, dict[str, Any]], Awaitable[None]]
) -> tuple[float, list[float]]:
    """POST the deployments, 20 in flight, and hand each to `each`; (whole time, time of each deployment)."""
    seen = Seen(api)
    await seen.start()
    await asyncio.sleep(0.5)
    room = asyncio.Semaphore(IN_FLIGHT)
    posted: dict[str, float] = {}

    async def one(name: str) -> None:
        async with room:
            posted[name] = time.perf_counter()
            await each(name, await api.call("POST", DEPLOYMENTS, orjson.dumps(manifest(name))))

    try:
        begin = time.perf_counter()
        await asyncio.gather(*(one(name) for name in names))
        await seen.wait(len(names), 300)
        return max(seen.complete.values()) - begin, [seen.complete[name] - posted[name] for name in names]
    finally:
        seen.stop()


async def nothing(_name: str, _deployment: dict[str, Any]) -> None:
    """The operator does the rest."""


def replay(api: Api, writes: list[Write]) -> Callable[[str, dict[str, Any]], Awaitable[None]]:
    """What the bare client does for each deployment: the recorded writes with its name and UID, one after the other."""

    async def each(name: str, deployment: dict[str, Any]) -> None:
        uid = deployment["metadata"]["uid"].encode()
        for write in writes:
            body = write.body.replace(TEMPLATE.encode(), name.encode()).replace(b"TEMPLATE-UID", uid)
            await api.call(write.method, write.path.replace(TEMPLATE, name), body, write.content_type)

    return each


@asynccontextmanager
async def recorder(api: Api, writes: list[Write]) -> AsyncIterator[str]:
    """A proxy that keeps every server-side apply; its address."""

    async def forward(request: web.Request) -> web.StreamResponse:
        assert api.session
        body = await request.read()
        headers = {k: v for k, v in request.headers.items() if k.lower() in {"authorization", "content-type", "accept"}}
        if request.method == "PATCH":
            writes.append(Write(request.method, request.path_qs, request.content_type, body))
        async with api.session.request(
            request.method, api.server + request.path_qs, data=body or None, headers=headers
        ) as answer:
            reply = web.StreamResponse(
                status=answer.status, headers={"Content-Type": answer.headers.get("Content-Type", "")}
            )
            await reply.prepare(request)
            async for piece in answer.content.iter_any():
                await reply.write(piece)
            return reply

    application = web.Application(client_max_size=16 << 20)
    application.router.add_route("*", "/{path:.*}", forward)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def record(cluster: ControlPlane, api: Api, account: str, folder: Path) -> list[Write]:
    """The server-side applies of the operator for one deployment, until it is available."""
    writes: list[Write] = []
    async with recorder(api, writes) as address:
        kubeconfig = cluster.kubeconfig_of(account, SYSTEM, folder / "recorder.kubeconfig", {"server": address})
        operator = OperatorProcess(kubeconfig, folder / "recorder.log", environment())
        await ready(operator.start())
        made = await api.call("POST", DEPLOYMENTS, orjson.dumps(manifest(TEMPLATE)))
        for _ in range(150):
            now = await api.call("GET", f"{DEPLOYMENTS}/{TEMPLATE}")
            if now.get("status", {}).get("readyReplicas"):
                break
            await asyncio.sleep(0.2)
        await asyncio.to_thread(operator.stop)
    uid = made["metadata"]["uid"].encode()
    return [Write(w.method, w.path, w.content_type, w.body.replace(uid, b"TEMPLATE-UID")) for w in writes]


def environment() -> dict[str, str]:
    """What the operator is started with."""
    return {
        "SHARDWRIGHT_BIND_ADDRESS": "127.0.0.1", "SHARDWRIGHT_HEALTH_PORT": str(HEALTH_PORT),
        "SHARDWRIGHT_METRICS_PORT": str(METRICS_PORT), "SHARDWRIGHT_EXTERNAL_METRICS_PORT": "0",
    }  # fmt: skip


async def ready(operator: OperatorProcess) -> None:
    """Wait until the operator has listed everything and watches."""
    for _ in range(200):
        if not operator.running:
            raise RuntimeError(operator.log_text()[-2000:])
        try:
            await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{HEALTH_PORT}/readyz", None, 1)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            await asyncio.sleep(3)
            return
    raise RuntimeError("the operator does not become ready")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mib(pid: int) -> float:
    """The most memory that a process had."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def api_calls() -> float:
    """Requests that the operator says it made."""
    with urllib.request.urlopen(f"http://127.0.0.1:{METRICS_PORT}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("shardwright_api_requests_total"))


async def clear(admin: Api) -> None:
    """Delete everything, and wait until it is gone and the controllers rest."""
    await admin.call("DELETE", DEPLOYMENTS)
    for path in (*CHILDREN.values(), f"/api/v1/namespaces/{NAMESPACE}/pods"):
        plural = path.rpartition("/")[2]
        if plural == "services":
            for item in (await admin.call("GET", path))["items"]:
                await admin.call("DELETE", f"{path}/{item['metadata']['name']}")
        else:
            await admin.call("DELETE", path + ("?gracePeriodSeconds=0" if plural == "pods" else ""))
    for path in (*CHILDREN.values(), DEPLOYMENTS, f"/api/v1/namespaces/{NAMESPACE}/pods"):
        while (await admin.call("GET", path + "?limit=1"))["items"]:  # noqa: ASYNC110  # a remote thing
            await asyncio.sleep(0.5)
    await asyncio.sleep(2)


async def bench(cluster: ControlPlane, sizes: list[int], folder: Path) -> list[Result]:
    """Everything: the cluster is filled with nodes, then operator and bare client take turns."""
    account = cluster.install(SYSTEM)
    cluster.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    cluster.kubectl.apply(*_user_rights(account))
    for index in range(NODES):
        cluster.add_gpu_node(
            f"h100-{index}", "h100", gpus=GPUS_PER_NODE, annotations={"shardwright.io/gpu-link": "nvswitch"}
        )
    kubeconfig = cluster.kubeconfig_of(account, SYSTEM, folder / "operator.kubeconfig")
    results = []
    async with Api(kubeconfig) as api, Api(cluster.kubeconfig) as admin:
        writes = await record(cluster, api, account, folder)
        await clear(admin)
        print(f"one deployment is {len(writes)} server-side applies", file=sys.stderr)
        for size in sizes:
            results.append(await by_operator(api, kubeconfig, size, folder))
            await clear(admin)
            results.append(await by_bare_client(api, writes, size))
            await clear(admin)
            print_table(results[-2:])
    return results


def _user_rights(account: str) -> list[dict[str, Any]]:
    """The bare client has the operator's identity, and may make deployments besides."""
    name = {"name": "bench-user"}
    rule = {
        "apiGroups": ["shardwright.io"],
        "resources": ["inferencedeployments"],
        "verbs": ["create", "get", "list", "watch"],
    }
    return [
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": name, "rules": [rule]},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": name,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "bench-user"},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": SYSTEM}],
        },
    ]  # fmt: skip


async def by_operator(api: Api, kubeconfig: Path, size: int, folder: Path) -> Result:
    """A fresh operator, and deployments that somebody else posts."""
    operator = OperatorProcess(kubeconfig, folder / f"operator-{size}.log", environment()).start()
    await ready(operator)
    cpu, calls = cpu_seconds(operator.pid), api_calls()
    times = await measure(api, [f"bench-{index:04}" for index in range(size)], nothing)
    cpu, calls = cpu_seconds(operator.pid) - cpu, api_calls() - calls
    await asyncio.sleep(5)
    peak = peak_mib(operator.pid)
    await asyncio.to_thread(operator.stop)
    return result("operator", times, cpu, peak, calls / size)


async def by_bare_client(api: Api, writes: list[Write], size: int) -> Result:
    """The same deployments, with the operator's writes made by hand."""
    cpu = time.process_time()
    times = await measure(api, [f"bench-{index:04}" for index in range(size)], replay(api, writes))
    return result("bare client", times, time.process_time() - cpu, None, len(writes))


def result(who: str, times: tuple[float, list[float]], cpu: float, peak: float | None, calls: float) -> Result:
    """One row from what was measured."""
    whole, each = times
    p95 = sorted(each)[min(len(each) - 1, int(len(each) * 0.95))]
    return Result(who, len(each), whole, len(each) / whole, statistics.median(each), p95, cpu, peak, calls)


def print_table(results: list[Result]) -> None:
    """Print rows, and each pair's ratio."""
    print(f"{'':12} {'N':>4} {'seconds':>8} {'per s':>7} {'median':>7} {'p95':>7} {'CPU s':>6} {'MiB':>6} {'calls':>6}")
    for r in results:
        peak = f"{r.peak_mib:6.0f}" if r.peak_mib else "     -"
        print(
            f"{r.who:12} {r.deployments:4} {r.seconds:8.2f} {r.per_second:7.1f} {r.median_seconds:7.2f} "
            f"{r.p95_seconds:7.2f} {r.cpu_seconds:6.1f} {peak} {r.calls_per_deployment:6.1f}"
        )
    for mine, bare in zip(results[::2], results[1::2], strict=True):
        print(f"{'':12} {mine.deployments:4} {mine.per_second / bare.per_second:8.0%} of the bare client's rate")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1,10,100,500")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    with control_plane_cluster() as cluster, tempfile.TemporaryDirectory() as folder:
        results = asyncio.run(bench(cluster, sizes, Path(folder)))
    print_table(results)
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in results], indent=1) + "\n")


if __name__ == "__main__":
    main()
