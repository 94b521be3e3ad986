"""The fake accepts and refuses what the real `vllm serve` 0.32.0 accepts and refuses, with its status and its words."""

import json
import re
import shlex
from pathlib import Path

import pytest

from fake_engine.refusal import Refused
from fake_engine.vllm_checks import check
from fake_engine.vllm_parser import parse, table

HERE = Path(__file__).parent
VERDICTS = json.loads((HERE / "vllm_verdicts.json").read_text())


def run(case: str, capsys) -> tuple[int, str]:
    model, gpus, *arguments = shlex.split(case)
    folder = [str(HERE / "models" / model)] if model != "-" else []
    try:
        args = parse(["serve", *folder, *arguments])
        check(args, int(gpus))
    except SystemExit as ended:
        return int(ended.code or 0), capsys.readouterr().err
    except Refused as refused:
        return 1, str(refused)
    return 0, ""


@pytest.mark.parametrize("verdict", VERDICTS, ids=[row["case"] for row in VERDICTS])
def test_same_verdict_as_the_real_engine(verdict, capsys):
    status, said = run(verdict["case"], capsys)
    assert status == verdict["exit"], said
    if status:
        assert gist(verdict["says"]) in gist(said)


def gist(text: str) -> str:
    """What must agree: not pydantic's links, a function's address, the model's folder or a newer Python's quotes."""
    text = text.replace(f"{HERE}/models/", "").split(" To allow overriding")[0]
    text = re.sub(r"For further information visit .*/", "type=", text)
    text = re.sub(r" at 0x[0-9a-f]+", "", text)
    text = re.sub(r"^(\w+): (Input should)", r"\2", text)
    text = re.sub(r"\(choose from .*", "", text)
    return " ".join(text.replace("'", "").split())


def test_every_option_of_the_real_engine_is_known():
    assert len(table()["options"]) > 300
    assert table()["version"] == "0.32.0"
