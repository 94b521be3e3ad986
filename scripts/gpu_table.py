"""Write the table of docs/gpus.md from the GPU catalogue (a test keeps both equal): `python scripts/gpu_table.py`."""

from pathlib import Path

from shardwright.catalog.load import gpu_catalog
from shardwright.catalog.types import GpuProduct

PAGE = Path(__file__).parents[1] / "docs" / "gpus.md"
BEGIN, END = "<!-- table: written by scripts/gpu_table.py -->", "<!-- end of the table -->"
HEAD = (
    "| product | node label | GiB, engine sees | GB/s | BF16 | FP8 | FP4 | link between GPUs | compute |\n"
    "|---|---|---:|---:|---:|---:|---:|---|---|\n"
)


def page_with_table(page: str) -> str:
    """The page with a fresh table between its markers."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + "\n" + HEAD + "".join(map(_row, gpu_catalog().products)) + END + rest.split(END)[1]


def _row(gpu: GpuProduct) -> str:
    labels = " ".join(f"`{label}`" for label in gpu.labels) or "(none)"
    rates = " | ".join(f"{rate / 10**12:g}" if rate else "–" for rate in (gpu.bf16_flops, gpu.fp8_flops, gpu.fp4_flops))
    compute = ".".join(map(str, gpu.compute_capability)) if gpu.compute_capability else gpu.architecture or "–"
    memory = f"{gpu.memory_bytes / 2**30:.1f}"
    return (
        f"| {gpu.name} | {labels} | {memory} | {gpu.memory_bandwidth // 10**9} | {rates} | {_link(gpu)} | {compute} |\n"
    )


def _link(gpu: GpuProduct) -> str:
    said = f"{gpu.link}" + (f", {gpu.link_bandwidth / 10**9:g} GB/s" if gpu.link_bandwidth else "")
    if gpu.scale_up_domain > 1:
        said += f", up to {gpu.scale_up_domain}"
    if gpu.bridge_gpus:
        said += f"; bridge of {gpu.bridge_gpus}, {gpu.bridge_bandwidth / 10**9:g} GB/s"
    return said


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text("utf-8")), "utf-8")
