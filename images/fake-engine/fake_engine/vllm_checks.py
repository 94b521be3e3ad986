"""Everything that vLLM refuses between parsing the command line and loading weights, in the order in which it does."""

from argparse import Namespace
from typing import Any

from fake_engine.layout import Layout, check_parallel, work_out
from fake_engine.models import ModelFacts, model_facts
from fake_engine.refusal import Refused, invalid, out_of_bounds
from fake_engine.vllm_parser import table

DEFAULT_SEQUENCES = 256
DEFAULT_BATCHED_TOKENS = 2048
WORDS = {"ge": "greater than or equal to", "gt": "greater than", "le": "less than or equal to", "lt": "less than"}


def check(args: Namespace, gpus: int) -> tuple[Layout, ModelFacts]:
    """Check a parsed command line against the model and `gpus` devices; raises `Refused`.

    Fills in `max_model_len`, `max_num_seqs` and `max_num_batched_tokens` where they were derived.
    """
    _check_frontend(args)
    _check_modes(args)
    model = model_facts(args.model)
    _check_model(args, model)
    _limits(args, "ModelConfig", "CacheConfig")
    layout = work_out(args, model)
    _limits(args, "ParallelConfig")
    check_parallel(args, layout, gpus)
    _check_scheduler(args)
    _check_whole(args, layout, model)
    return layout, model


def _check_frontend(args: Namespace) -> None:
    if args.grpc_port is not None:
        if args.grpc:
            raise Refused(
                "--grpc and --grpc-port are mutually exclusive. Use --grpc --port for the Python gRPC server, or "
                "VLLM_USE_RUST_FRONTEND=1 with --grpc-port for the Rust frontend."
            )
        raise Refused("--grpc-port requires VLLM_USE_RUST_FRONTEND=1 vllm serve")
    if args.enable_auto_tool_choice and not args.tool_call_parser:
        raise Refused("Error: --enable-auto-tool-choice requires --tool-call-parser", "TypeError")
    if args.enable_log_outputs and not args.enable_log_requests:
        raise Refused("Error: --enable-log-outputs requires --enable-log-requests", "TypeError")
    if args.sse_keep_alive_interval < 0:
        raise Refused(
            "Error: --sse-keep-alive-interval must be a non-negative integer (0 disables keep-alive comments)."
        )
    if args.enable_per_request_metrics and args.disable_log_stats:
        raise Refused(
            "Error: --enable-per-request-metrics requires engine statistics logging; remove --disable-log-stats to enable "
            "per-request metrics."
        )
    if args.data_parallel_multi_port_external_lb:
        _check_multi_port(args)


def _check_multi_port(args: Namespace) -> None:
    flag = "Error: --data-parallel-multi-port-external-lb"
    size, local = args.data_parallel_size, args.data_parallel_size_local
    if args.uds is not None:
        raise Refused(f"{flag} does not support --uds")
    if args.api_server_count not in {None, 1}:
        raise Refused(f"{flag} currently requires --api-server-count=1")
    if args.data_parallel_rank is not None:
        raise Refused(f"{flag} manages child --data-parallel-rank values internally")
    if args.data_parallel_external_lb or args.data_parallel_hybrid_lb:
        raise Refused(f"{flag} cannot be combined with --data-parallel-external-lb or --data-parallel-hybrid-lb")
    if size < 2:
        raise Refused(f"{flag} requires --data-parallel-size > 1")
    if local is None or local < 2:
        raise Refused(f"{flag} requires --data-parallel-size-local >= 2")
    if size % local:
        raise Refused("Error: --data-parallel-size must be divisible by --data-parallel-size-local")


def _check_modes(args: Namespace) -> None:
    if args.headless and (args.api_server_count or 0) > 0:
        raise Refused(
            f"--api-server-count={args.api_server_count} cannot be used with --headless (no API servers are started in "
            "headless mode)."
        )
    external = args.data_parallel_external_lb or args.data_parallel_rank is not None
    multi_port = args.data_parallel_multi_port_external_lb
    start_rank = args.data_parallel_start_rank is not None
    hybrid = args.data_parallel_hybrid_lb or (start_rank and not multi_port)
    if sum([multi_port, external, bool(hybrid)]) > 1:
        raise Refused(
            "Cannot use more than one data parallel load balancing mode. Choose one of: "
            "--data-parallel-multi-port-external-lb, --data-parallel-external-lb (or --data-parallel-rank), "
            "--data-parallel-hybrid-lb (or --data-parallel-start-rank)."
        )


def _limits(args: Namespace, *owners: str) -> None:
    for field, (owner, limits) in table()["bounds"].items():
        value: Any = getattr(args, field, None)
        if owner not in owners or not isinstance(value, int | float):
            continue
        for limit, bound in limits.items():
            holds = {"ge": value >= bound, "gt": value > bound, "le": value <= bound, "lt": value < bound}[limit]
            if not holds:
                raise out_of_bounds(owner, field, f"Input should be {WORDS[limit]} {bound}")


def _check_model(args: Namespace, model: ModelFacts) -> None:
    if args.quantization is not None and args.quantization not in table()["quantization_methods"]:
        known = table()["quantization_methods"]
        raise invalid("ModelConfig", f"Unknown quantization method: {args.quantization}. Must be one of {known}.")
    length = args.max_model_len
    if length is not None and length != -1 and length < 1:
        raise invalid(
            "ModelConfig", f"max_model_len must be a positive integer, got int: {length}. Example: max_model_len=2048"
        )
    if length is None or length == -1:
        args.max_model_len = model.context or 8192
    elif model.context and length > model.context:
        raise invalid(
            "ModelConfig",
            f"User-specified max_model_len ({length}) is greater than the derived max_model_len "
            f"(max_position_embeddings={float(model.context)} or model_max_length=None in model's config.json). To allow "
            "overriding this maximum, set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1.",
        )


def _check_scheduler(args: Namespace) -> None:
    sequences = DEFAULT_SEQUENCES if args.max_num_seqs is None else args.max_num_seqs
    given = args.max_num_batched_tokens
    tokens = given
    if tokens is None:
        most = DEFAULT_BATCHED_TOKENS if args.enable_chunked_prefill in {None, True} else args.max_model_len
        tokens = min(max(most, sequences), sequences * args.max_model_len)
    args.max_num_seqs = sequences if args.max_num_seqs is not None else min(sequences, tokens)
    args.max_num_batched_tokens = tokens
    _limits(args, "SchedulerConfig")
    if args.enable_chunked_prefill is False and tokens < args.max_model_len:
        raise invalid(
            "SchedulerConfig",
            f"max_num_batched_tokens ({tokens}) is smaller than max_model_len ({args.max_model_len}). This effectively "
            "limits the maximum sequence length to max_num_batched_tokens and makes vLLM reject longer sequences. Please "
            "increase max_num_batched_tokens or decrease max_model_len.",
        )
    if tokens < args.max_num_seqs:
        raise invalid(
            "SchedulerConfig",
            f"max_num_batched_tokens ({tokens}) must be greater than or equal to max_num_seqs ({args.max_num_seqs}).",
        )


def _check_whole(args: Namespace, layout: Layout, model: ModelFacts) -> None:
    if args.collect_detailed_traces and not args.otlp_traces_endpoint:
        raise invalid("ObservabilityConfig", "collect_detailed_traces requires `--otlp-traces-endpoint` to be set.")
    if not model.known:
        return
    if model.heads % layout.tensor:
        raise invalid(
            "VllmConfig",
            f"Total number of attention heads ({model.heads}) must be divisible by tensor parallel size ({layout.tensor}).",
        )
    if layout.expert and not model.experts:
        raise invalid(
            "VllmConfig", "Number of experts in the model must be greater than 0 when expert parallelism is enabled."
        )
    if layout.pipeline > 1 and not model.pipeline_supported:
        raise Refused(
            "Pipeline parallelism is not supported for this model. Supported models implement the `SupportsPP` interface.",
            "NotImplementedError",
        )
    _check_decode_context(args.decode_context_parallel_size, layout, model)
    _check_kv_heads(layout, model)


def _check_decode_context(decode: int, layout: Layout, model: ModelFacts) -> None:
    if decode <= 1 or model.mla:
        return
    if layout.tensor <= model.kv_heads:
        raise invalid(
            "VllmConfig",
            f"Decode context parallelism for GQA/MQA requires `--tensor-parallel-size` ({layout.tensor}) to be greater than "
            f"the model's total number of KV heads ({model.kv_heads}). Increase `--tensor-parallel-size` or set "
            "`--decode-context-parallel-size 1`.",
        )
    most = layout.tensor // model.kv_heads
    if decode > most:
        raise invalid(
            "VllmConfig",
            f"`--decode-context-parallel-size` ({decode}) exceeds the maximum supported value ({most}) for "
            f"`--tensor-parallel-size` ({layout.tensor}) and {model.kv_heads} model KV heads.",
        )


def _check_kv_heads(layout: Layout, model: ModelFacts) -> None:
    """The model's own code asserts this when a worker builds it, after the configuration was accepted."""
    more, fewer = max(model.kv_heads, layout.tensor), min(model.kv_heads, layout.tensor)
    if not model.mla and fewer and more % fewer:
        raise Refused(
            f"Worker failed with error 'assert self.total_num_kv_heads ({model.kv_heads}) % tp_size ({layout.tensor}) == 0', "
            "please check the stack trace above for the root cause",
            "RuntimeError",
        )
