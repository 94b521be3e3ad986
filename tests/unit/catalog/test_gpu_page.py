"""docs/gpus.md shows the catalogue as it is."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_table_is_the_catalogue() -> None:
    spec = importlib.util.spec_from_file_location("gpu_table", ROOT / "scripts" / "gpu_table.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = (ROOT / "docs" / "gpus.md").read_text("utf-8")
    assert script.page_with_table(page) == page, "run scripts/gpu_table.py"
