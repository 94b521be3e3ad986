"""What a pod leaves behind: every config of the catalogue fits, and nothing that a pod may say breaks the reader."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardwright.catalog.model_rows import bundled_configs
from shardwright.fetch.problem import FetchProblem
from shardwright.fetch.report import MARK, MOST_CHARACTERS, pack, pack_problem, unpack
from shardwright.models.checkpoint import Checkpoint
from shardwright.models.files import CHECKPOINT, CONFIG

SUMMARY = Checkpoint((("BF16", 1 << 40), ("F32", 1 << 30), ("F8_E4M3", 1 << 41)), 200_000, 163).as_text()


def test_every_config_of_the_catalogue_fits() -> None:
    for row in bundled_configs().values():
        files = {CONFIG: json.dumps(row["config"]), CHECKPOINT: SUMMARY}
        line = pack(files)
        assert unpack(line) == files and len(line) <= MOST_CHARACTERS and line.isascii() and "\n" not in line


def test_one_that_does_not_fit_says_so() -> None:
    with pytest.raises(FetchProblem, match="too long to report"):
        pack({CONFIG: json.dumps([hash(str(number)) for number in range(2000)])})
    with pytest.raises(FetchProblem, match="disk is on fire"):
        unpack(pack_problem("the disk is on fire"))


@given(st.one_of(st.text(max_size=200), st.binary(max_size=100).map(lambda b: MARK + b.hex()), st.just(MARK)))
def test_any_other_text_is_a_problem(text: str) -> None:
    with pytest.raises(FetchProblem):
        unpack(text)
