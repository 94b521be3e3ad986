"""How a start goes wrong: the lines that real engines print, in the processes that print them.

An engine's core fails in its own process: its traceback comes first, and below it stands the parent's, which only says
that something failed. Kubelet's last 2 KiB of a log hold the parent's alone, which is why the order matters here.
"""

import sys
import time
from dataclasses import dataclass

from fake_engine.refusal import Refused

PARENT = "Engine core initialization failed. See root cause above. Failed core proc(s): {}"
CORE_FRAMES = (
    ("vllm/v1/engine/core.py", 1132, "run_engine_core", "engine_core = EngineCoreProc(*args, engine_index=rank)"),
    ("vllm/v1/engine/core.py", 938, "__init__", "super().__init__("),
    ("vllm/v1/engine/core.py", 121, "__init__", "self.model_executor = executor_class(vllm_config)"),
    ("vllm/v1/executor/abstract.py", 109, "__init__", "self._init_executor()"),
)
PARENT_FRAMES = (
    ("bin/vllm", 10, "<module>", "sys.exit(main())"),
    ("vllm/entrypoints/cli/main.py", 75, "main", "args.dispatch_function(args)"),
    ("vllm/entrypoints/cli/serve.py", 122, "cmd", "uvloop.run(run_server(args))"),
    ("uvloop/__init__.py", 96, "run", "return __asyncio.run("),
    ("asyncio/runners.py", 195, "run", "return runner.run(main)"),
    ("asyncio/runners.py", 118, "run", "return self._loop.run_until_complete(task)"),
    ("uvloop/__init__.py", 48, "wrapper", "return await main"),
    ("vllm/entrypoints/openai/api_server.py", 662, "run_server", "await run_server_worker(listen_address, sock, args)"),
    ("vllm/entrypoints/openai/api_server.py", 676, "run_server_worker", "async with build_async_engine_client("),
    ("contextlib.py", 210, "__aenter__", "return await anext(self.gen)"),
    (
        "vllm/entrypoints/openai/api_server.py",
        96,
        "build_async_engine_client",
        "async with build_async_engine_client_from_",
    ),
    (
        "vllm/entrypoints/openai/api_server.py",
        138,
        "build_async_engine_client_from",
        "async_llm = AsyncLLM.from_vllm_config(",
    ),
    ("vllm/v1/engine/async_llm.py", 225, "from_vllm_config", "return cls("),
    ("vllm/v1/engine/async_llm.py", 154, "__init__", "self.engine_core = EngineCoreClient.make_async_mp_client("),
    ("vllm/v1/engine/core_client.py", 131, "make_async_mp_client", "return AsyncMPClient(*client_args)"),
    ("vllm/v1/engine/core_client.py", 898, "__init__", "super().__init__("),
    ("vllm/v1/engine/core_client.py", 556, "__init__", "with launch_core_engines(vllm_config, executor_class)"),
    ("contextlib.py", 144, "__exit__", "next(self.gen)"),
    ("vllm/v1/engine/utils.py", 1390, "launch_core_engines", "wait_for_engine_startup("),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail."""

    error: str
    """The exception's name; empty = it is only printed."""
    message: str
    in_core: bool = True
    """The engine core's process fails, and the parent follows."""
    before: tuple[str, ...] = ()
    """What other libraries print first."""


FAULTS = {
    "cuda-oom": Fault(
        "torch.OutOfMemoryError",
        "CUDA out of memory. Tried to allocate 1.16 GiB. GPU 0 has a total capacity of 79.19 GiB of which 512.00 MiB is "
        "free. Including non-PyTorch memory, this process has 78.68 GiB memory in use.",
    ),
    "kv-too-small": Fault(
        "ValueError",
        "No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine.",
    ),
    "gpu-taken": Fault(
        "ValueError",
        "Free memory on device cuda:0 (60.33/79.19 GiB) on startup is less than desired GPU memory utilization (0.92, "
        "72.85 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.",
    ),
    "not-found": Fault(
        "OSError",
        "org/missing is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'",
        in_core=False,
        before=("huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error.",),
    ),
    "gated": Fault(
        "OSError",
        "You are trying to access a gated repo.\nMake sure to have access to it at https://huggingface.co/org/gated.\n"
        "403 Client Error.\n\nAccess to model org/gated is restricted and you are not in the authorized list.",
        in_core=False,
        before=("huggingface_hub.errors.GatedRepoError: 403 Client Error.",),
    ),
    "hub-down": Fault(
        "OSError",
        "We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in the cached files.",
        in_core=False,
        before=("httpx2.ConnectError: [Errno 111] Connection refused",),
    ),
    "disk-full": Fault("OSError", "[Errno 28] No space left on device", in_core=False),
    "broken-files": Fault(
        "safetensors_rust.SafetensorError",
        "Error while deserializing header: incomplete metadata, file not fully covered",
    ),
    "architecture": Fault(
        "pydantic_core._pydantic_core.ValidationError",
        "1 validation error for ModelConfig\n  Value error, Model architectures ['FancyNewForCausalLM'] are not supported "
        "for now. Supported architectures: dict_keys(['LlamaForCausalLM'])",
        in_core=False,
    ),
    "nccl-timeout": Fault(
        "RuntimeError",
        "Worker proc VllmWorker-0 died unexpectedly (exit code: -6), shutting down executor.",
        before=(
            "[rank0]:[E1121 14:06:04.537131842 ProcessGroupNCCL.cpp:690] [Rank 0] Watchdog caught collective operation "
            "timeout: WorkNCCL(SeqNum=1, OpType=ALLREDUCE, NumelIn=1, NumelOut=1, Timeout(ms)=600000) ran for 600009 "
            "milliseconds before timing out.",
        ),
    ),
    "nccl-error": Fault(
        "torch.distributed.DistBackendError",
        "NCCL error in: ../torch/csrc/distributed/c10d/NCCLUtils.cpp:94, unhandled system error (run with NCCL_DEBUG=INFO "
        "for details), NCCL version 2.27.5\nncclSystemError: System call (e.g. socket, malloc) or external library call "
        "failed or device error.",
    ),
    "xid": Fault("torch.AcceleratorError", "CUDA error: uncorrectable ECC error encountered"),
    "gpu-fault": Fault("torch.AcceleratorError", "CUDA error: unspecified launch failure"),
    "shm": Fault(
        "torch.distributed.DistBackendError",
        "NCCL error in: ../torch/csrc/distributed/c10d/NCCLUtils.cpp:94, unhandled system error (run with NCCL_DEBUG=INFO "
        "for details), NCCL version 2.27.5",
        before=(
            "gpu-0:180:180 [0] misc/shmutils.cc:87 NCCL WARN Error while creating shared memory segment "
            "/dev/shm/nccl-Pm0uHo (size 9637888), error: No space left on device (28)",
        ),
    ),
    "worker-killed": Fault(
        "RuntimeError", "Worker proc VllmWorker-1 died unexpectedly (exit code: -9), shutting down executor."
    ),
}  # fmt: skip


def fail(name: str) -> None:
    """End the load as the fault says; raises what the parent process ends with."""
    if name not in FAULTS:
        raise SystemExit(f"fake engine: FAKE_ENGINE_LOAD_FAILS={name} is none of {', '.join(sorted(FAULTS))}")
    fault = FAULTS[name]
    for line in fault.before:
        sys.stderr.write(f"{line}\n")
    if not fault.in_core:
        raise Refused(fault.message, fault.error)
    _core_says(fault)
    for file, number, function, code in PARENT_FRAMES:
        sys.stderr.write(f'(APIServer pid=1)   File "/usr/lib/python3.12/{file}", line {number}, in {function}\n')
        sys.stderr.write(f"(APIServer pid=1)     {code}\n(APIServer pid=1)     {'^' * len(code)}\n")
    raise Refused(PARENT, "RuntimeError")


def _core_says(fault: Fault) -> None:
    """The core's traceback, as its logger prints it: every line behind its prefix."""
    prefix = f"(EngineCore pid=171) ERROR {time.strftime('%m-%d %H:%M:%S')} [core.py:1141] "
    lines = ["EngineCore failed to start.", "Traceback (most recent call last):"]
    for file, number, function, code in CORE_FRAMES:
        lines += [f'  File "/usr/lib/python3.12/{file}", line {number}, in {function}', f"    {code}"]
    lines += f"{fault.error}: {fault.message}".split("\n")
    sys.stderr.write("".join(f"{prefix}{line}\n" for line in lines))
