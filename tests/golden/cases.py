"""The golden cases: a model, a pool and an engine each. The layout is given: they judge rendering, not planning."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from shardwright.api.parse import parse_spec
from shardwright.api.spec import InferenceDeploymentSpec
from shardwright.catalog.types import LinkKind, NetworkKind
from shardwright.inventory.host import NOTHING_KNOWN, Host
from shardwright.inventory.types import ClaimAsk
from shardwright.manifests.build import DeploymentIdentity, ManifestSettings, ReplicaAssignment, build
from shardwright.models.profile import ModelProfile
from shardwright.plan.types import Layout, MemoryForecast, Placement, Plan, RankMemory

FOLDER = Path(__file__).parent / "manifests"
COMMANDS = Path(__file__).parent / "commands.jsonl"
UID = "0b9f7f3a-6f0c-4b1e-9d57-3a1c2b4d5e6f"


@dataclass(frozen=True)
class Case:
    name: str
    spec: dict[str, Any]
    layout: Layout
    pool: str = "h100-sxm-8"
    replicas: int = 1
    context_length: int = 32768
    experts: int = 0
    checkpoint_quantization: str | None = None
    selector_known: bool = True
    nodes_known: bool = True
    incarnation: int = 0
    host: Host = NOTHING_KNOWN
    claim: ClaimAsk | None = None
    compute_domain: bool = False
    settings: ManifestSettings = field(default_factory=ManifestSettings)


POOLS = {
    "h100-sxm-8": ("H100-SXM", "nvidia", "nvidia.com/gpu", "nvidia.com/gpu.product", "NVIDIA-H100-80GB-HBM3"),
    "h200-sxm-8": ("H200-SXM", "nvidia", "nvidia.com/gpu", "nvidia.com/gpu.product", "NVIDIA-H200"),
    "l40s-4": ("L40S", "nvidia", "nvidia.com/gpu", "nvidia.com/gpu.product", "NVIDIA-L40S"),
    "l4-1": ("L4", "nvidia", "nvidia.com/gpu", "nvidia.com/gpu.product", "NVIDIA-L4"),
    "a100-sxm-80gb-8": ("A100-SXM-80GB", "nvidia", "nvidia.com/gpu", "nvidia.com/gpu.product", "NVIDIA-A100-SXM4-80GB"),
    "b200-sxm-8": ("B200", "nvidia", "nvidia.com/gpu", "nvidia.com/gpu.product", "NVIDIA-B200"),
    "rtx-4090-2": ("RTX-4090", "nvidia", "nvidia.com/gpu", "nvidia.com/gpu.product", "NVIDIA-GeForce-RTX-4090"),
    "mi300x-8": ("MI300X", "amd", "amd.com/gpu", "amd.com/gpu.product-name", "AMD_Instinct_MI300X_OAM"),
    "gb200-4": ("GB200", "nvidia", "nvidia.com/gpu", "nvidia.com/gpu.product", "NVIDIA-GB200"),
    "h100-by-claim-8": ("H100-SXM", "nvidia", "gpu.nvidia.com", "topology.kubernetes.io/zone", "a"),
    "max-1550-8": ("Max-1550", "intel", "gpu.intel.com/i915", "gpu.intel.com/product", "Max_1550"),
}


CLAIMED = ClaimAsk("gpu.nvidia.com", ('device.attributes["gpu.nvidia.com"].productName == "NVIDIA H100 80GB HBM3"',))


def spec_of(case: Case) -> InferenceDeploymentSpec:
    spec = parse_spec(case.spec)
    assert isinstance(spec, InferenceDeploymentSpec), spec
    return spec


def profile_of(case: Case) -> ModelProfile:
    return ModelProfile(
        id=case.spec["model"]["id"],
        architecture="Golden",
        num_layers=64,
        hidden_size=8192,
        num_attention_heads=64,
        num_kv_heads=8,
        head_dim=128,
        vocab_size=151936,
        max_context_length=131072,
        num_experts=case.experts,
        dtype="bfloat16",
        quantization=case.spec["model"].get("quantization") or case.checkpoint_quantization,
        checkpoint_quantization=case.checkpoint_quantization,
    )


def placement_of(case: Case) -> Placement:
    product, vendor, resource, label, value = POOLS[case.pool]
    weights = (140 << 30) // case.layout.gpus_per_replica
    ranks = (RankMemory(weights, 0, 0, 0, 0),) * (case.layout.tensor * case.layout.pipeline)
    memory = MemoryForecast(80 << 30, 73 << 30, ranks, 200_000, 6, case.context_length, fits=True)
    names = tuple(f"{case.pool}-{index}" for index in range(case.replicas * case.layout.nodes_per_replica))
    size = case.layout.nodes_per_replica
    nodes = tuple(names[i * size : (i + 1) * size] for i in range(case.replicas)) if case.nodes_known else ()
    selector = ((label, value),) if case.selector_known else ()
    return Placement(
        case.pool,
        product,
        vendor,
        resource,
        case.layout,
        case.replicas,
        case.replicas + 2,
        memory,
        replica_nodes=nodes,
        pool_selector=selector,
        pool_nodes=names if case.nodes_known else (),
        host=case.host,
        claim=case.claim,
        compute_domain=case.compute_domain,
    )


def objects_of(case: Case) -> list[dict[str, Any]]:
    placement = placement_of(case)
    owner = DeploymentIdentity(case.name, "models", UID)
    replicas = [
        ReplicaAssignment(i, 0, placement.replica_nodes[i] if case.nodes_known else (), case.incarnation)
        for i in range(case.replicas)
    ]
    plan = Plan((placement,), context_length=case.context_length, derived_replicas=case.replicas)
    return build(owner, spec_of(case), profile_of(case), plan, replicas, case.settings)


def text_of(case: Case) -> str:
    """The manifests as text; programs of ours are named and not repeated."""
    objects = objects_of(case)
    for document in objects:
        programs = [name for name in document.get("data", ()) if name.endswith(".py")]
        for name in programs:
            document["data"][name] = f"(the text of engines/files/{name})"
            document["metadata"]["annotations"].pop("shardwright.io/applied-hash", None)
    return yaml.safe_dump_all(objects, sort_keys=False, width=120, allow_unicode=True)


def _model(model_id: str, **more: Any) -> dict[str, Any]:
    return {"model": {"id": model_id, **more}}


QWEN8, QWEN32, LLAMA70 = "Qwen/Qwen3-8B", "Qwen/Qwen3-32B", "meta-llama/Llama-3.3-70B-Instruct"
RAILS = tuple(((gpu,), (f"mlx5_{gpu}",)) for gpu in range(8))
HGX = Host(
    gpus=8,
    link=LinkKind.NVSWITCH,
    said_islands=((0, 1, 2, 3, 4, 5, 6, 7),),
    network=NetworkKind.INFINIBAND,
    nics=RAILS,
    numa=(0, 0, 0, 0, 1, 1, 1, 1),
    devices=(("rdma/ib", 63),),
    cpu_milli=191_000,
    memory_bytes=2000 << 30,
)
"""An HGX H100 node as its labels, annotations and device plugins tell it."""
SWITCHED = Host(4, LinkKind.PCIE_SWITCH, ((0, 1), (2, 3)), NetworkKind.TCP, cpu_milli=63_000, memory_bytes=503 << 30)
DEEPSEEK, QWEN_MOE, GPT_OSS = "deepseek-ai/DeepSeek-V3", "Qwen/Qwen3-235B-A22B-FP8", "openai/gpt-oss-120b"
TRTLLM = {"name": "trtllm"}

CASES = (
    Case("qwen3-8b-one-gpu", _model(QWEN8), Layout(), "l4-1"),
    Case("qwen3-8b-two-replicas", _model(QWEN8) | {"replicas": 2}, Layout(), "l40s-4", replicas=2),
    Case("qwen3-32b-tp4", _model(QWEN32, servedName="qwen3-32b", revision="main"), Layout(tensor=4), "l40s-4"),
    Case("qwen3-32b-fp8-online", _model(QWEN32, quantization="fp8"), Layout(tensor=2), "h100-sxm-8"),
    Case("llama-70b-tp8", _model(LLAMA70), Layout(tensor=8), "a100-sxm-80gb-8", context_length=131072),
    Case("llama-70b-tp2-pp2", _model(LLAMA70), Layout(tensor=2, pipeline=2), "l40s-4"),
    Case("llama-70b-two-pods", _model(LLAMA70), Layout(tensor=4, pipeline=2, nodes_per_replica=2), "l40s-4"),
    Case(
        "llama-70b-two-pods-rdma",
        _model(LLAMA70) | {"podTemplate": {"resources": {"limits": {"rdma/hca_shared": 1}}}},
        Layout(tensor=8, pipeline=2, nodes_per_replica=2),
    ),
    Case(
        "llama-70b-two-groups",
        _model(LLAMA70) | {"replicas": 2},
        Layout(tensor=4, pipeline=2, nodes_per_replica=2),
        "l40s-4",
        replicas=2,
        incarnation=3,
    ),
    Case(
        "llama-405b-four-pods",
        _model("meta-llama/Llama-3.1-405B-Instruct"),
        Layout(tensor=8, pipeline=4, nodes_per_replica=4),
        "a100-sxm-80gb-8",
    ),
    Case("llama-70b-tp-over-pods", _model(LLAMA70), Layout(tensor=2, nodes_per_replica=2), "h200-sxm-8"),
    Case(
        "deepseek-v3-tp8", _model(DEEPSEEK), Layout(tensor=8), "h200-sxm-8", experts=256, checkpoint_quantization="fp8"
    ),
    Case(
        "deepseek-v3-dp8-ep",
        _model(DEEPSEEK),
        Layout(data=8, expert=True),
        "b200-sxm-8",
        experts=256,
        checkpoint_quantization="fp8",
    ),
    Case(
        "deepseek-v3-dp16-ep-pods",
        _model(DEEPSEEK),
        Layout(data=16, expert=True, nodes_per_replica=2),
        "h200-sxm-8",
        experts=256,
        checkpoint_quantization="fp8",
    ),
    Case(
        "deepseek-v3-tp16-dp2-ep-pods",
        _model(DEEPSEEK),
        Layout(tensor=16, data=2, expert=True, nodes_per_replica=4),
        "h100-sxm-8",
        experts=256,
        checkpoint_quantization="fp8",
    ),
    Case(
        "qwen3-235b-tp8-ep",
        _model(QWEN_MOE),
        Layout(tensor=8, expert=True),
        "h100-sxm-8",
        experts=128,
        checkpoint_quantization="fp8",
    ),
    Case(
        "gpt-oss-120b-tp4-dp2-ep",
        _model(GPT_OSS),
        Layout(tensor=4, data=2, expert=True),
        "h100-sxm-8",
        experts=128,
        checkpoint_quantization="mxfp4",
    ),
    Case("mi300x-tp8", _model(LLAMA70), Layout(tensor=8), "mi300x-8"),
    Case(
        "mi300x-two-pods",
        _model(DEEPSEEK),
        Layout(tensor=8, pipeline=2, nodes_per_replica=2),
        "mi300x-8",
        experts=256,
        checkpoint_quantization="fp8",
    ),
    Case("intel-tp2", _model(QWEN8), Layout(tensor=2), "max-1550-8"),
    Case(
        "from-claim",
        _model(QWEN32, source={"persistentVolumeClaim": {"claimName": "models", "path": "qwen3-32b"}}),
        Layout(tensor=4),
    ),
    Case("from-host-path", _model(QWEN8, source={"hostPath": {"path": "/srv/models/qwen3-8b"}}), Layout()),
    Case(
        "from-host-path-two-pods",
        _model(LLAMA70, source={"hostPath": {"path": "/srv/models/llama-70b"}}),
        Layout(tensor=4, pipeline=2, nodes_per_replica=2),
    ),
    Case("from-image", _model(QWEN8, source={"image": {"reference": "registry.example/models/qwen3-8b:1"}}), Layout()),
    Case(
        "from-mirror-with-token",
        _model(
            LLAMA70,
            source={"hub": {"endpoint": "https://hub.example", "tokenSecretRef": {"name": "hub", "key": "token"}}},
        ),
        Layout(tensor=4),
    ),
    Case(
        "user-arguments",
        _model(QWEN32)
        | {
            "engine": {
                "version": "0.33.0",
                "image": "registry.example/vllm:mine",
                "args": {
                    "max-num-seqs": "64",
                    "enable-prefix-caching": "false",
                    "max-model-len": "16k",
                    "enforce-eager": "true",
                    "kv-cache-dtype": "fp8",
                    "gpu-memory-utilization": "0.85",
                    "hf-overrides": '{"rope_theta": 1000000}',
                },
                "env": [{"name": "VLLM_LOGGING_LEVEL", "value": "DEBUG"}],
            }
        },
        Layout(tensor=4),
    ),
    Case(
        "pod-template",
        _model(QWEN8)
        | {
            "podTemplate": {
                "labels": {"team": "search"},
                "annotations": {"example.com/owner": "search"},
                "resources": {"requests": {"cpu": "8", "memory": "64Gi"}, "limits": {"memory": "64Gi"}},
                "securityContext": {"runAsUser": 2000, "fsGroup": 2000},
                "serviceAccountName": "models",
                "imagePullSecrets": [{"name": "pull"}],
                "imagePullPolicy": "Always",
                "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
                "volumes": [{"name": "scratch", "emptyDir": {}}],
                "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
                "initContainers": [{"name": "warm", "image": "registry.example/warm:1"}],
                "affinity": {
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [
                                {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]},
                                {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]}]},
                            ]
                        }
                    }
                },
                "terminationGracePeriodSeconds": 300,
            }
        },
        Layout(),
        "l40s-4",
    ),
    Case(
        "placement",
        _model(QWEN8)
        | {
            "placement": {
                "nodeSelector": {"pool": "inference"},
                "tolerations": [{"key": "dedicated", "operator": "Exists"}],
                "priorityClassName": "high",
                "schedulerName": "other",
                "runtimeClassName": "nvidia",
            }
        },
        Layout(),
        "l40s-4",
    ),
    Case(
        "autoscaled",
        _model(QWEN8)
        | {
            "autoscaling": {
                "minReplicas": 1,
                "maxReplicas": 3,
                "metrics": [{"type": "queueDepth", "target": 4}, {"type": "requestsInHand", "target": 64}],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 600}},
            }
        },
        Layout(),
        "l40s-4",
    ),
    Case("autoscaled-without-ceiling", _model(QWEN8) | {"autoscaling": {}}, Layout(), "l40s-4"),
    Case("suspended", _model(QWEN8) | {"suspend": True}, Layout(), "l40s-4"),
    Case(
        "load-balancer",
        _model(QWEN8)
        | {"service": {"type": "LoadBalancer", "port": 80, "annotations": {"lb": "internal"}}, "startupTimeout": "2h"},
        Layout(),
        "l40s-4",
    ),
    Case("pool-without-labels", _model(QWEN8), Layout(tensor=2), "l40s-4", selector_known=False, replicas=2),
    Case(
        "expected-nodes",
        _model(LLAMA70),
        Layout(tensor=8, pipeline=2, nodes_per_replica=2),
        "h100-sxm-8",
        nodes_known=False,
    ),
    Case(
        "cache-on-node",
        _model(QWEN8),
        Layout(),
        "l40s-4",
        settings=ManifestSettings(
            images={("vllm", "nvidia"): "registry.example/vllm:v{version}"},
            cache_host_path="/var/lib/shardwright/cache",
            unreachable_seconds=60,
        ),
    ),
    Case("hgx-whole-node", _model(LLAMA70), Layout(tensor=8), host=HGX),
    Case("hgx-two-pods-infiniband", _model(LLAMA70), Layout(tensor=8, pipeline=2, nodes_per_replica=2), host=HGX),
    Case(
        "hgx-part-of-two-nodes-roce",
        _model(LLAMA70),
        Layout(tensor=4, pipeline=2, nodes_per_replica=2),
        host=replace(HGX, network=NetworkKind.ROCE, devices=(("nvidia.com/hostdev", 8),)),
    ),
    Case(
        "hgx-two-pods-efa",
        _model(LLAMA70),
        Layout(tensor=8, pipeline=2, nodes_per_replica=2),
        host=replace(HGX, network=NetworkKind.EFA, nics=(), devices=(("vpc.amazonaws.com/efa", 32),)),
    ),
    Case(
        "hgx-users-settings-win",
        _model(LLAMA70)
        | {
            "engine": {
                "args": {
                    "numa-bind": "false",
                    "kv-transfer-config": '{"kv_connector":"NixlConnector","kv_role":"kv_both"}',
                },
                "env": [{"name": "NCCL_IB_HCA", "value": "mlx5_8"}],
            },
            "podTemplate": {"resources": {"requests": {"cpu": "4"}, "limits": {"rdma/ib": 2, "memory": "1Ti"}}},
        },
        Layout(tensor=8, pipeline=2, nodes_per_replica=2),
        host=HGX,
    ),
    Case(
        "hgx-without-rdma",
        _model(LLAMA70) | {"podTemplate": {"resources": {"limits": {"rdma/ib": 0}}}},
        Layout(tensor=8, pipeline=2, nodes_per_replica=2),
        host=HGX,
    ),
    Case("l40s-switches-tcp-two-pods", _model(LLAMA70), Layout(4, 2, nodes_per_replica=2), "l40s-4", host=SWITCHED),
    Case(
        "rtx-4090-no-peer-to-peer",
        _model(QWEN32, quantization="fp8"),
        Layout(tensor=2),
        "rtx-4090-2",
        host=Host(2, LinkKind.PCIE, cpu_milli=15_000, memory_bytes=60 << 30, peer_to_peer=False),
    ),
    Case(
        "mi300x-two-pods-roce",
        _model(LLAMA70),
        Layout(tensor=8, pipeline=2, nodes_per_replica=2),
        "mi300x-8",
        host=replace(HGX, link=LinkKind.XGMI, network=NetworkKind.ROCE, interface="net1"),
    ),
    Case(
        "trtllm-two-pods-infiniband",
        _model(LLAMA70)
        | {"engine": TRTLLM, "podTemplate": {"annotations": {"k8s.v1.cni.cncf.io/networks": "fabric/ib0"}}},
        Layout(tensor=8, pipeline=2, nodes_per_replica=2),
        host=HGX,
    ),
    Case("claimed-by-attribute", _model(LLAMA70), Layout(tensor=8), "h100-by-claim-8", claim=CLAIMED),
    Case(
        "claimed-by-switch",
        _model(LLAMA70),
        Layout(tensor=2, pipeline=2),
        "h100-by-claim-8",
        replicas=2,
        claim=replace(CLAIMED, same="resource.kubernetes.io/pcieRoot"),
    ),
    Case("nvl72-two-pods", _model(LLAMA70), Layout(tensor=8, nodes_per_replica=2), "gb200-4", compute_domain=True),
    Case("downloads-on-a-claim", _model(QWEN8, source={"hub": {"cache": {"claimName": "shared"}}}), Layout(), "l4-1"),
    Case(
        "downloads-on-volumes-of-their-own",
        _model(QWEN8, source={"hub": {"cache": {"size": "200Gi", "storageClassName": "fast"}}}),
        Layout(),
        "l4-1",
    ),
    Case(
        "air-gapped", _model(QWEN8), Layout(), "l4-1", settings=ManifestSettings(hub="", cache_host_path="/srv/cache")
    ),
    Case("vllm", _model(QWEN8), Layout(), "l40s-4"),
    Case("trtllm-qwen3-8b", _model(QWEN8) | {"engine": TRTLLM}, Layout(), "l40s-4"),
    Case("trtllm-llama-70b-tp4-pp2", _model(LLAMA70) | {"engine": TRTLLM}, Layout(tensor=4, pipeline=2), "h100-sxm-8"),
    Case(
        "trtllm-deepseek-attention-dp",
        _model(DEEPSEEK) | {"engine": TRTLLM},
        Layout(data=8, expert=True),
        "b200-sxm-8",
        experts=256,
        checkpoint_quantization="fp8",
    ),
    Case(
        "trtllm-llama-70b-two-pods",
        _model(LLAMA70) | {"engine": TRTLLM},
        Layout(tensor=8, pipeline=2, nodes_per_replica=2),
        "h100-sxm-8",
        replicas=2,
    ),
    Case(
        "trtllm-deepseek-attention-dp-two-pods",
        _model(DEEPSEEK) | {"engine": TRTLLM},
        Layout(data=16, expert=True, nodes_per_replica=2),
        "h200-sxm-8",
        experts=256,
        checkpoint_quantization="fp8",
    ),
    Case(
        "qwen3-235b-tp2-dp8-ep-hybrid",
        _model(QWEN_MOE) | {"engine": {"args": {"api-server-count": "2"}}, "replicas": 2},
        Layout(tensor=2, data=8, expert=True, nodes_per_replica=2),
        "h100-sxm-8",
        replicas=2,
        experts=128,
        checkpoint_quantization="fp8",
    ),
    Case(
        "deepseek-v3-tp8-dp2-ep-one-rank-per-pod",
        _model(DEEPSEEK) | {"engine": {"args": {"api-server-count": "2"}}},
        Layout(tensor=8, data=2, expert=True, nodes_per_replica=2),
        "h200-sxm-8",
        experts=256,
        checkpoint_quantization="fp8",
    ),
    Case(
        "deepseek-v3-dp32-ep-four-pods",
        _model(DEEPSEEK, source={"persistentVolumeClaim": {"claimName": "models", "path": "deepseek-v3"}}),
        Layout(data=32, expert=True, nodes_per_replica=4),
        "b200-sxm-8",
        experts=256,
        checkpoint_quantization="fp8",
    ),
    Case(
        "kimi-k2-tp8-pp2-two-pods",
        _model("moonshotai/Kimi-K2-Instruct"),
        Layout(tensor=8, pipeline=2, nodes_per_replica=2),
        "h200-sxm-8",
        experts=384,
        checkpoint_quantization="fp8",
    ),
    Case(
        "llama-405b-fp8-tp8",
        _model("meta-llama/Llama-3.1-405B-Instruct-FP8"),
        Layout(tensor=8),
        "h200-sxm-8",
        checkpoint_quantization="fp8",
    ),
    Case("qwen3-32b-fp8-l40s-pair", _model(f"{QWEN32}-FP8"), Layout(tensor=2), "l40s-4", checkpoint_quantization="fp8"),
    Case(
        "mi300x-deepseek-dp16-ep-hybrid",
        _model(DEEPSEEK),
        Layout(data=16, expert=True, nodes_per_replica=2),
        "mi300x-8",
        experts=256,
        checkpoint_quantization="fp8",
    ),
    Case("gpt-oss-20b-l4", _model("openai/gpt-oss-20b"), Layout(), "l4-1", experts=32, checkpoint_quantization="mxfp4"),
    Case("intel-two-pods", _model(QWEN32), Layout(tensor=4, pipeline=2, nodes_per_replica=2), "max-1550-8"),
    Case(
        "trtllm-deepseek-attention-dp-four-pods",
        _model(DEEPSEEK) | {"engine": TRTLLM},
        Layout(data=32, expert=True, nodes_per_replica=4),
        "b200-sxm-8",
        experts=256,
        checkpoint_quantization="fp8",
    ),
    Case(
        "trtllm-qwen3-235b-tp8-ep-two-groups",
        _model(QWEN_MOE) | {"engine": TRTLLM, "replicas": 2},
        Layout(tensor=8, pipeline=2, expert=True, nodes_per_replica=2),
        "h100-sxm-8",
        replicas=2,
        experts=128,
        checkpoint_quantization="fp8",
    ),
    Case(
        "trtllm-from-mirror-with-token",
        _model(
            LLAMA70,
            source={"hub": {"endpoint": "https://hub.example", "tokenSecretRef": {"name": "hub", "key": "token"}}},
        )
        | {"engine": TRTLLM},
        Layout(tensor=4),
        "l40s-4",
    ),
    Case(
        "trtllm-user-arguments",
        _model(QWEN32, revision="main")
        | {
            "engine": TRTLLM
            | {
                "args": {
                    "max_batch_size": "64",
                    "enable_chunked_prefill": "true",
                    "kv_cache_config": '{"enable_block_reuse": false}',
                    "enable_iter_perf_stats": "true",
                }
            }
        },
        Layout(tensor=4),
        "h100-sxm-8",
    ),
    Case(
        "trtllm-from-claim",
        _model(
            QWEN8, servedName="qwen3-8b", source={"persistentVolumeClaim": {"claimName": "models", "path": "qwen3-8b"}}
        )
        | {"engine": TRTLLM},
        Layout(),
        "l40s-4",
    ),
)
