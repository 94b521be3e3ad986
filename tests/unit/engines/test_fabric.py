"""What engines are told of links, adapters and NUMA nodes follows from facts; without facts, nothing is said."""

from dataclasses import replace

import pytest

from golden.cases import HGX, SWITCHED, Case, objects_of
from shardwright.api import labels
from shardwright.catalog.types import LinkKind, NetworkKind
from shardwright.inventory.host import NOTHING_KNOWN, Host
from shardwright.plan.surroundings import surroundings
from shardwright.plan.types import Layout

MODEL = {"model": {"id": "a/b"}}
ONE_GPU, ONE_POD = Layout(), Layout(tensor=8)
TWO_PODS = Layout(tensor=8, pipeline=2, nodes_per_replica=2)
TWO_HALVES = Layout(tensor=4, pipeline=2, nodes_per_replica=2)
DERIVED = ("NCCL_", "GLOO_", "UCX_", "FI_", "HSA_", "OMPI_")
SHARES, EFA = (("rdma/ib", 63),), (("vpc.amazonaws.com/efa", 32),)
KV_TRANSFER = {"kv-transfer-config": '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'}


def engine(layout, host, spec=MODEL, pool="h100-sxm-8"):
    objects = objects_of(Case("x", spec, layout, pool, host=host))
    sets = [document for document in objects if document["kind"] == "StatefulSet"]
    return sets[0]["spec"]["template"]["spec"]["containers"][0]


def variables(layout, host, spec=MODEL, pool="h100-sxm-8"):
    return {
        variable["name"]: variable["value"]
        for variable in engine(layout, host, spec, pool)["env"]
        if variable["name"].startswith(DERIVED)
    }


def plan_hash(layout, host, spec=MODEL):
    objects = objects_of(Case("x", spec, layout, host=host))
    found = next(document for document in objects if document["kind"] == "StatefulSet")
    return found["metadata"]["annotations"][labels.PLAN_HASH]


@pytest.mark.parametrize("layout", [ONE_GPU, ONE_POD, TWO_PODS])
@pytest.mark.parametrize("engine_name", ["vllm", "trtllm"])
def test_nothing_is_said_where_nothing_is_known(layout, engine_name):
    container = engine(layout, NOTHING_KNOWN, MODEL | {"engine": {"name": engine_name}})
    assert variables(layout, NOTHING_KNOWN) == {}
    assert set(container["resources"]["requests"]) == {"nvidia.com/gpu"}
    assert "capabilities" not in container["securityContext"]
    assert not [word for word in container["args"] if "numa" in word]


HCAS = "=" + ",".join(f"mlx5_{gpu}" for gpu in range(8))
CASES = [
    ("one GPU", ONE_GPU, HGX, {}),
    ("NVSwitch needs no word", ONE_POD, HGX, {}),
    ("InfiniBand", TWO_PODS, HGX, {"NCCL_IB_HCA": HCAS}),
    ("RoCE, part of a node", TWO_HALVES, replace(HGX, network=NetworkKind.ROCE), {"NCCL_IB_HCA": HCAS}),
    ("no device to ask for", TWO_PODS, replace(HGX, devices=()), {}),
    ("virtual functions have other names", TWO_PODS, replace(HGX, devices=(("nvidia.com/hostdev", 8),)), {}),
    ("a name that is no device", TWO_PODS, replace(HGX, nics=(((0,), ("NIC0",)),)), {}),
    ("kind not said", TWO_PODS, replace(HGX, network=None), {}),
    ("EFA", TWO_PODS, replace(HGX, network=NetworkKind.EFA, devices=EFA),
     {"FI_PROVIDER": "efa", "FI_EFA_USE_HUGE_PAGE": "0"}),
    ("TCP", TWO_PODS, replace(HGX, network=NetworkKind.TCP), {"NCCL_IB_DISABLE": "1"}),
    ("TCP, one pod", ONE_POD, replace(HGX, network=NetworkKind.TCP), {}),
    ("interface", TWO_PODS, replace(HGX, network=None, devices=(), interface="net1"),
     {"NCCL_SOCKET_IFNAME": "=net1", "GLOO_SOCKET_IFNAME": "net1"}),
    ("PCIe switches", Layout(tensor=4), replace(SWITCHED, network=None), {"NCCL_P2P_LEVEL": "PXB"}),
    ("one PCIe switch", Layout(tensor=4), replace(SWITCHED, said_islands=((0, 1, 2, 3),)), {}),
    ("switches guessed", Layout(tensor=4), replace(SWITCHED, said_islands=()), {}),
    ("no peer-to-peer", Layout(tensor=2), Host(2, LinkKind.PCIE, peer_to_peer=False), {"NCCL_P2P_DISABLE": "1"}),
    ("no peer-to-peer, one GPU", ONE_GPU, Host(2, LinkKind.PCIE, peer_to_peer=False), {}),
]  # fmt: skip


@pytest.mark.parametrize(("what", "layout", "host", "expected"), CASES, ids=[case[0] for case in CASES])
def test_variables(what, layout, host, expected):
    assert variables(layout, host) == expected, what


def test_amd_reads_the_same_names():
    host = replace(HGX, link=LinkKind.XGMI)
    assert variables(TWO_PODS, host, pool="mi300x-8") == {"NCCL_IB_HCA": HCAS}
    by_pcie = Host(8, LinkKind.PCIE)
    assert variables(ONE_POD, by_pcie, pool="mi300x-8") == {"HSA_FORCE_FINE_GRAIN_PCIE": "1"}


def test_intel_has_collectives_of_its_own():
    assert variables(TWO_PODS, HGX, pool="max-1550-8") == {}


def test_pods_with_several_networks_use_the_pod_network():
    several = MODEL | {"podTemplate": {"annotations": {"k8s.v1.cni.cncf.io/networks": "ib"}}}
    found = variables(TWO_PODS, replace(HGX, network=None), several | {"engine": {"name": "trtllm"}})
    assert found == {
        "NCCL_SOCKET_IFNAME": "=eth0", "GLOO_SOCKET_IFNAME": "eth0",
        "OMPI_MCA_btl_tcp_if_include": "eth0", "OMPI_MCA_oob_tcp_if_include": "eth0",
    }  # fmt: skip


def test_moving_caches_leaves_the_pod():
    spec = MODEL | {"engine": {"args": KV_TRANSFER}}
    found = variables(ONE_POD, replace(HGX, nics=(((0,), ("mlx5_0",)),)), spec)
    assert found == {"NCCL_IB_HCA": "=mlx5_0", "UCX_NET_DEVICES": "mlx5_0:1"}
    assert engine(ONE_POD, HGX, spec)["resources"]["limits"]["rdma/ib"] == "1"


@pytest.mark.parametrize(
    ("layout", "offered", "asked"),
    [
        (TWO_PODS, SHARES, {"rdma/ib": "1"}),
        (TWO_HALVES, SHARES, {"rdma/ib": "1"}),
        (TWO_PODS, (("rdma/cx7", 8),), {"rdma/cx7": "8"}),
        (TWO_HALVES, (("rdma/cx7", 8),), {"rdma/cx7": "4"}),
        (TWO_HALVES, EFA, {"vpc.amazonaws.com/efa": "16"}),
        (TWO_HALVES, (("amd.com/nic", 1),), {}),
        (ONE_POD, SHARES, {}),
    ],
    ids=str,
)
def test_rdma_devices(layout, offered, asked):
    container = engine(layout, replace(HGX, network=None, devices=offered))
    for kind in ("limits", "requests"):
        found = container["resources"][kind]
        assert {name: n for name, n in found.items() if name not in ("cpu", "memory", "nvidia.com/gpu")} == asked
    assert ("capabilities" in container["securityContext"]) is bool(asked)


@pytest.mark.parametrize(("amount", "kept"), [(0, {}), (2, {"rdma/ib": 2})])
def test_users_devices_win(amount, kept):
    spec = MODEL | {"podTemplate": {"resources": {"limits": {"rdma/ib": amount}}}}
    container = engine(TWO_PODS, replace(HGX, devices=(("rdma/ib", 63), ("rdma/other", 8))), spec)
    limits = container["resources"]["limits"]
    assert {name: n for name, n in limits.items() if name.startswith("rdma/")} == kept
    assert ("capabilities" in container["securityContext"]) is bool(kept)
    assert ("NCCL_IB_HCA" in {variable["name"] for variable in container["env"]}) is bool(kept)


@pytest.mark.parametrize("where", ["engine", "podTemplate"])
def test_users_variables_win(where):
    spec = MODEL | {where: {"env": [{"name": "NCCL_IB_HCA", "value": "mlx5_9"}]}}
    assert variables(TWO_PODS, HGX, spec)["NCCL_IB_HCA"] == "mlx5_9"


NUMA = ["--numa-bind", "--numa-bind-nodes", "0", "0", "0", "0", "1", "1", "1", "1"]


@pytest.mark.parametrize(
    ("layout", "host", "engine_spec", "words"),
    [
        (ONE_POD, HGX, {}, NUMA),
        (TWO_PODS, HGX, {}, NUMA),
        (Layout(tensor=4), HGX, {}, []),
        (ONE_POD, replace(HGX, numa=(0,) * 8), {}, []),
        (ONE_POD, replace(HGX, numa=()), {}, []),
        (ONE_POD, HGX, {"image": "registry.example/vllm:mine"}, []),
        (ONE_POD, HGX, {"image": "registry.example/vllm:mine", "args": {"numa-bind": "true"}}, [*NUMA[1:], NUMA[0]]),
        (ONE_POD, HGX, {"args": {"numa-bind": "false"}}, ["--no-numa-bind"]),
        (ONE_POD, HGX, {"version": "0.11.0"}, []),
        (ONE_POD, HGX, {"args": {"numa-bind": "true", "numa-bind-nodes": "0 1"}}, [NUMA[0], NUMA[1], "0", "1"]),
    ],
    ids=str,
)
def test_numa_binding(layout, host, engine_spec, words):
    args = engine(layout, host, MODEL | {"engine": engine_spec})["args"]
    start = next((at for at, word in enumerate(args) if "numa" in word), len(args))
    assert args[start:] == words


def test_numa_binding_is_vllms_on_nvidia():
    assert "--numa-bind" not in engine(ONE_POD, HGX, MODEL | {"engine": {"name": "trtllm"}})["args"]
    assert "--numa-bind" not in engine(ONE_POD, HGX, pool="mi300x-8")["args"], "AMD's image lacks numactl"


def test_custom_all_reduce_needs_peer_to_peer():
    host = Host(2, LinkKind.PCIE, peer_to_peer=False)
    word = "--disable-custom-all-reduce"
    assert word in engine(Layout(tensor=2), host)["args"]
    assert word not in engine(ONE_GPU, host)["args"]
    kept = engine(Layout(tensor=2), host, MODEL | {"engine": {"args": {"disable-custom-all-reduce": "false"}}})
    assert word not in kept["args"]


@pytest.mark.parametrize(
    ("layout", "host", "cpu", "memory"),
    [
        (ONE_GPU, HGX, "6", 125 << 10),
        (ONE_GPU, replace(HGX, memory_bytes=4000 << 30), "6", (12 + 3 + 140) << 10),
        (ONE_GPU, Host(1, cpu_milli=3920, memory_bytes=14 << 30), "1900m", 7 << 10),
        (Layout(data=8, expert=True), HGX, "48", (24 * 4 + 17 + 140) << 10),
        (ONE_GPU, Host(1), None, None),
        (ONE_GPU, Host(64, cpu_milli=1000, memory_bytes=1 << 30), None, 8),
    ],
)
def test_cpu_and_memory(layout, host, cpu, memory):
    experts = 8 if layout.expert else 0
    objects = objects_of(Case("x", MODEL, layout, host=host, experts=experts))
    container = objects[-1]["spec"]["template"]["spec"]["containers"][0]
    asked = container["resources"]["requests"]
    assert asked.get("cpu") == cpu
    assert "cpu" not in container["resources"]["limits"]
    assert "memory" not in container["resources"]["limits"]
    assert asked.get("memory") == (memory and f"{memory}Mi")


def test_users_amounts_win():
    spec = MODEL | {"podTemplate": {"resources": {"requests": {"cpu": "1"}, "limits": {"memory": "2Gi"}}}}
    resources = engine(ONE_GPU, HGX, spec)["resources"]
    assert resources["requests"] == {"cpu": "1", "nvidia.com/gpu": "1"}
    assert resources["limits"] == {"memory": "2Gi", "nvidia.com/gpu": "1"}


def test_what_restarts_an_engine():
    assert plan_hash(ONE_GPU, HGX) == plan_hash(ONE_GPU, NOTHING_KNOWN), "requests of ours restart nothing"
    assert plan_hash(ONE_GPU, HGX) == plan_hash(ONE_GPU, replace(HGX, cpu_milli=8000, numa=(0,) * 8, nics=()))
    assert plan_hash(TWO_PODS, HGX) != plan_hash(TWO_PODS, replace(HGX, nics=()))


def test_what_people_are_told():
    assert surroundings(ONE_GPU, HGX) == ()
    assert surroundings(TWO_PODS, NOTHING_KNOWN) == ()
    halves = " ".join(surroundings(TWO_HALVES, replace(HGX, nics=(((0, 1, 2, 3), ("mlx5_0",)), ((4, 6), ("mlx5_1",))))))
    assert "GPU 0-3: mlx5_0; GPU 4,6: mlx5_1" in halves
    assert "best-effort" in halves
    assert "single-numa-node" in " ".join(surroundings(ONE_POD, HGX))
    assert "aws-ofi-nccl" in " ".join(surroundings(TWO_PODS, replace(HGX, devices=EFA)))
    lone = replace(HGX, devices=(("rdma/one", 1),))
    assert "1 rdma/one for 8 GPUs leave none for 4" in " ".join(surroundings(TWO_HALVES, lone))
    assert "offer no RDMA resource" in " ".join(surroundings(TWO_PODS, replace(HGX, devices=())))
