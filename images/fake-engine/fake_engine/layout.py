"""The shape that a `vllm serve` command line asks for, worked out as vLLM's `create_engine_config` does, in its order."""

from argparse import Namespace
from dataclasses import dataclass

from fake_engine.models import ModelFacts
from fake_engine.refusal import Refused, invalid

LAUNCH = "Invalid data-parallel launch options: "


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of one replica and this process's place in it. Ranks count from 0; a node is one process tree, one pod."""

    tensor: int
    pipeline: int
    prefill_context: int
    data: int
    data_local: int
    data_rank: int
    nodes: int
    node_rank: int
    headless: bool
    external_lb: bool
    hybrid_lb: bool
    expert: bool
    multi_port: bool = False

    @property
    def world_size(self) -> int:
        """GPUs of one data-parallel rank."""
        return self.tensor * self.pipeline * self.prefill_context

    @property
    def nodes_per_data_rank(self) -> int:
        """Nodes that one data-parallel rank spans."""
        if self.nodes == 1:
            return 1
        groups = max(self.data // max(self.data_local, 1), 1)
        return max(self.nodes // groups, 1)

    @property
    def local_gpus(self) -> int:
        """GPUs that this node needs."""
        return self.world_size // self.nodes_per_data_rank * max(self.data_local, 1)

    @property
    def leads(self) -> bool:
        """Whether this node is the first of its data-parallel rank's nodes."""
        return self.node_rank % self.nodes_per_data_rank == 0

    def __str__(self) -> str:
        """For logs and answers: `TP2·PP2`."""
        parts = [f"TP{self.tensor}", f"PP{self.pipeline}"]
        parts += [f"DP{self.data}"] if self.data > 1 else []
        return "·".join(parts + (["EP"] if self.expert else []))


def work_out(args: Namespace, model: ModelFacts) -> Layout:
    """Derive the layout; raises `Refused` with vLLM's words where its launch options contradict each other."""
    hybrid = args.data_parallel_hybrid_lb
    if args.headless and hybrid:
        raise Refused("data_parallel_hybrid_lb is not applicable in headless mode", "AssertionError")
    inferred = _across_nodes(args) if args.nnodes > 1 else 0
    external = args.data_parallel_external_lb or args.data_parallel_rank is not None
    if args.data_parallel_size > 1 and external and model.known and not model.experts:
        raise Refused(
            "Non-MoE models do not support external data parallel mode. For external load balancing, launch independent "
            "vLLM instances without --data-parallel-* arguments."
        )
    local, rank = args.data_parallel_size, inferred
    if external:
        local, rank = _external(args), args.data_parallel_rank
        hybrid = False
    elif args.data_parallel_size_local is not None:
        local = args.data_parallel_size_local
        start = args.data_parallel_start_rank
        rank = start if start is not None else inferred
        hybrid = hybrid or (start is not None and not args.headless)
        external, hybrid = (
            (True, False) if hybrid and local == 1 else (external, hybrid and local != args.data_parallel_size)
        )
    elif hybrid:
        raise Refused(
            f"{LAUNCH}`--data-parallel-hybrid-lb` requires `--data-parallel-size-local`. Set it to the number of "
            "data-parallel ranks on this node."
        )
    return Layout(
        args.tensor_parallel_size,
        args.pipeline_parallel_size,
        args.prefill_context_parallel_size,
        args.data_parallel_size,
        local,
        rank or 0,
        args.nnodes,
        args.node_rank,
        args.headless,
        external,
        hybrid,
        args.enable_expert_parallel or False,
        args.data_parallel_multi_port_external_lb,
    )


def _across_nodes(args: Namespace) -> int:
    """Check `--nnodes` and return the data-parallel rank that follows from `--node-rank`."""
    if args.data_parallel_backend != "mp":
        raise Refused(
            f"{LAUNCH}`--nnodes {args.nnodes}` requires `--data-parallel-backend mp`; got `--data-parallel-backend "
            f"{args.data_parallel_backend}`. Use the MP backend or set `--nnodes 1`."
        )
    within = args.pipeline_parallel_size * args.tensor_parallel_size * args.prefill_context_parallel_size
    world = args.data_parallel_size * within
    if world % args.nnodes:
        raise Refused(
            f"{LAUNCH}`--nnodes {args.nnodes}` must evenly divide the total world size ({world}). Adjust `--nnodes`, "
            "`--data-parallel-size`, `--pipeline-parallel-size`, `--tensor-parallel-size`, or "
            "`--prefill-context-parallel-size`."
        )
    if not 0 <= args.node_rank < args.nnodes:
        raise Refused(
            f"{LAUNCH}`--node-rank` must be between 0 and {args.nnodes - 1}; got `--node-rank {args.node_rank}`. Set it to "
            "this node's zero-based index."
        )
    inferred = args.node_rank * (world // args.nnodes) // max(within, 1)
    if args.data_parallel_size > 1 and args.data_parallel_external_lb:
        _infer_external(args, inferred)
    elif args.data_parallel_size_local is None:
        args.data_parallel_size_local = max(world // args.nnodes // max(within, 1), 1)
    return int(inferred)


def _infer_external(args: Namespace, inferred: int) -> None:
    if args.data_parallel_rank is not None:
        return
    if args.nnodes % args.data_parallel_size:
        raise Refused(
            f"{LAUNCH}`--node-rank` cannot unambiguously identify external data-parallel ranks when `--nnodes` is not "
            "divisible by `--data-parallel-size`. Set a unique `--data-parallel-rank` for each external-LB process."
        )
    args.data_parallel_rank = inferred


def _external(args: Namespace) -> int:
    if args.data_parallel_rank is None:
        raise Refused(
            f"{LAUNCH}`--data-parallel-external-lb` requires a data-parallel rank. Set `--data-parallel-rank`, or set "
            "`--data-parallel-size` greater than 1 and use `--nnodes` with `--node-rank` so the rank can be inferred."
        )
    if args.data_parallel_size_local not in {1, None}:
        raise Refused(
            f"{LAUNCH}an external data-parallel rank requires `--data-parallel-size-local 1`; got "
            f"{args.data_parallel_size_local}. Set it to 1 or omit it."
        )
    return 1


def check_parallel(args: Namespace, layout: Layout, gpus: int) -> None:
    """The rules of vLLM's `ParallelConfig`, in its order; `gpus` are those of this node."""
    owner = "ParallelConfig"
    if layout.data_local > layout.data:
        raise invalid(
            owner, f"data_parallel_size_local ({layout.data_local}) must be <= data_parallel_size ({layout.data})"
        )
    if layout.data <= 1 and layout.external_lb:
        raise invalid(owner, "data_parallel_external_lb can only be set when data_parallel_size > 1")
    if not args.numa_bind and (args.numa_bind_nodes is not None or args.numa_bind_cpus is not None):
        raise invalid(owner, "numa_bind_nodes and numa_bind_cpus require numa_bind=True.")
    _check_balancing(args, layout)
    _check_context_parallel(args, layout)
    if layout.data > 1 and not 0 <= layout.data_rank < layout.data:
        raise invalid(owner, f"data_parallel_rank ({layout.data_rank}) must be in the range [0, {layout.data})")
    _check_executor(args, layout, gpus)


def _check_balancing(args: Namespace, layout: Layout) -> None:
    if not args.enable_eplb:
        return
    if not layout.expert:
        raise invalid("ParallelConfig", "enable_expert_parallel must be True to use EPLB.")
    if layout.tensor * layout.prefill_context * layout.data <= 1:
        raise invalid(
            "ParallelConfig",
            "EPLB requires tensor, prefill-context, or data parallelism, but got "
            f"TP={layout.tensor}, PCP={layout.prefill_context}, DP={layout.data}.",
        )


def _check_context_parallel(args: Namespace, layout: Layout) -> None:
    tensor, prefill, decode = layout.tensor, layout.prefill_context, args.decode_context_parallel_size
    if prefill == 1 and tensor % decode:
        raise invalid("ParallelConfig", f"tp_size={tensor} must be divisible by dcp_size={decode}.")
    if prefill > 1 and decode not in {1, prefill, tensor * prefill}:
        raise invalid(
            "ParallelConfig",
            "When PCP is enabled, DCP must be disabled, span the PCP axis, or span the full TP x PCP axis. "
            f"Got TP={tensor}, PCP={prefill}, DCP={decode}; valid DCP sizes are {sorted({1, prefill, tensor * prefill})}.",
        )


def _check_executor(args: Namespace, layout: Layout, gpus: int) -> None:
    backend = args.distributed_executor_backend
    if backend is None and layout.nodes == 1 and layout.world_size * layout.data > 1 and gpus < layout.world_size:
        raise invalid(
            "ParallelConfig",
            f"World size ({layout.world_size}) is larger than the number of available GPUs ({gpus}) in this node. If this "
            "is intentional and you are using:\n- ray, set '--distributed-executor-backend ray'.\n- multiprocessing, set "
            "'--nnodes' appropriately.",
        )
    if backend not in {None, "mp", "uni", "external_launcher"} and layout.nodes > 1:
        raise invalid(
            "ParallelConfig",
            "nnodes > 1 can only be set when distributed executor backend is mp, uni or external_launcher.",
        )
    if backend is not None and backend not in {"mp", "ray", "uni", "external_launcher"} and "." not in backend:
        raise invalid("ParallelConfig", "not enough values to unpack (expected 2, got 1)")
