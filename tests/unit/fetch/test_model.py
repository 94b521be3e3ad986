"""Models read from a real HTTP server on this machine, by range requests of real safetensors headers."""

from __future__ import annotations

import json
from dataclasses import replace
from math import prod

import aiohttp
import pytest

from shardwright.api.reasons import Reason
from shardwright.fetch.http import HubReader
from shardwright.fetch.model import FIRST_BYTES, HubModel, fetch_model
from shardwright.fetch.problem import FetchProblem
from shardwright.models.checkpoint import Checkpoint, checkpoint_from_text, stored_bytes
from shardwright.models.files import CHECKPOINT, NOTE, QUANT_CONFIG, profile_from_files
from shardwright.plan.memory_weights import stage_weights
from shardwright.plan.types import Layout
from support.hub import LLAMA, File, LocalHub, llama_tensors

LLAMA_BYTES = sum(2 * prod(shape) for _, shape in llama_tensors(LLAMA).values())


async def read(
    session: aiohttp.ClientSession, hub: LocalHub, model: str = "org/small", *, token: str = "",
    revision: str = "main", seconds: float = 10.0,
) -> dict[str, str]:  # fmt: skip
    return await fetch_model(HubReader(session, token, loopback=True), HubModel(hub.url, model, revision), seconds)


async def problem_of(session: aiohttp.ClientSession, hub: LocalHub, **options: object) -> FetchProblem:
    with pytest.raises(FetchProblem) as caught:
        await read(session, hub, **options)  # type: ignore[arg-type]
    assert len(str(caught.value)) > 20
    return caught.value


def moved(target: str) -> File:
    return File(status=302, headers={"Location": target})


def checkpoint(files: dict[str, str]) -> Checkpoint:
    found = checkpoint_from_text(files[CHECKPOINT])
    assert found, files.get(NOTE)
    return found


@pytest.mark.parametrize("shards", [1, 2, 7])
@pytest.mark.parametrize("ignore_ranges", [False, True])
async def test_exact_bytes_of_all_tensors(
    session: aiohttp.ClientSession, hub: LocalHub, shards: int, ignore_ranges: bool
) -> None:
    hub.ignore_ranges = ignore_ranges
    hub.put_model("org/small", shards=shards)
    files = await read(session, hub)
    found = checkpoint(files)
    assert (found.total_bytes, found.files, found.tensors) == (LLAMA_BYTES, shards, len(llama_tensors(LLAMA)))
    profile = profile_from_files(files, "org/small")
    assert profile.checkpoint_bytes == LLAMA_BYTES == stored_bytes(profile)
    assert (profile.weights_scale_permille, profile.assumptions) == (1000, ())


async def test_a_header_longer_than_the_first_request(session: aiohttp.ClientSession, hub: LocalHub) -> None:
    tensors = {f"model.layers.{number}.some.rather.long.name.weight": ("F32", (3,)) for number in range(3000)}
    hub.put_model("org/small", shards=1, tensors=tensors)
    assert len(hub.files["/org/small/resolve/main/model.safetensors"].content) > FIRST_BYTES
    assert checkpoint(await read(session, hub)).total_bytes == 3000 * 12
    ranges = [sent["range"] for path, sent in hub.asked if path.endswith("model.safetensors")]
    assert len(ranges) == 2 and ranges[0] == f"bytes=0-{FIRST_BYTES - 1}"


async def test_another_revision_and_a_path_in_the_endpoint(session: aiohttp.ClientSession, hub: LocalHub) -> None:
    hub.put_model("mirror/hf/org/small", revision="refs%2Fpr%2F1")
    model = HubModel(f"{hub.url}/mirror/hf/", "org/small", "refs/pr/1")
    assert checkpoint(await fetch_model(HubReader(session, loopback=True), model, 10)).total_bytes == LLAMA_BYTES


async def test_modelopts_extra_file_is_read(session: aiohttp.ClientSession, hub: LocalHub) -> None:
    hub.put_model("org/small")
    extra = {"quantization": {"quant_algo": "FP8", "exclude_modules": ["lm_head"]}}
    hub.put("org/small", QUANT_CONFIG, json.dumps(extra))
    assert [stored.name for stored in profile_from_files(await read(session, hub), "org/small").weight_formats] == [
        "fp8"
    ]


async def test_files_that_hold_more_than_the_config_explains_scale_the_weights(
    session: aiohttp.ClientSession, hub: LocalHub
) -> None:
    more = {**llama_tensors(LLAMA), "audio_tower.weight": ("BF16", (LLAMA_BYTES // 4,))}
    hub.put_model("org/small", tensors=more)
    profile = profile_from_files(await read(session, hub), "org/small")
    assert profile.weights_scale_permille == 1500
    assert any("1.500 times" in sentence for sentence in profile.assumptions)
    plain = replace(profile, weights_scale_permille=1000)
    weights = [sum(stage_weights(each, Layout(2, 2), drafts=False)) for each in (plain, profile)]
    assert abs(weights[1] - weights[0] * 3 // 2) <= 2


async def test_a_checkpoint_without_safetensors_is_planned_by_its_config(
    session: aiohttp.ClientSession, hub: LocalHub
) -> None:
    hub.put("org/small", "config.json", json.dumps(LLAMA))
    files = await read(session, hub)
    profile = profile_from_files(files, "org/small")
    assert CHECKPOINT not in files and profile.checkpoint_bytes == 0
    assert any("config.json alone" in sentence for sentence in profile.assumptions)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors.index.json", b"{"),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "../../secret.safetensors"}}'),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "http://elsewhere/x.safetensors"}}'),
        ("model.safetensors.index.json", b'{"weight_map": []}'),
        ("model.safetensors", b""),
        ("model.safetensors", b"\xff" * 100),
        ("model.safetensors", (1000).to_bytes(8, "little") + b"{}"),
        ("model.safetensors", (4).to_bytes(8, "little") + b"nope"),
        ("model.safetensors", (10).to_bytes(8, "little") + b'{"a": 123}'),
        ("model.safetensors", (37).to_bytes(8, "little") + b'{"a":{"dtype":1,"data_offsets":[9,1]}}'[:37]),
    ],
)
async def test_broken_weight_files_end_in_a_note(
    session: aiohttp.ClientSession, hub: LocalHub, name: str, content: bytes
) -> None:
    hub.put("org/small", "config.json", json.dumps(LLAMA))
    hub.put("org/small", name, content)
    assert NOTE in await read(session, hub)


async def test_a_token_opens_a_gated_model_and_goes_nowhere_else(session: aiohttp.ClientSession, hub: LocalHub) -> None:
    with LocalHub() as elsewhere:
        hub.put_model("org/small", shards=1)
        for file in hub.files.values():
            file.needs_token = "hf_secret"
        head = hub.files["/org/small/resolve/main/model.safetensors"]
        elsewhere.files["/cdn/weights"] = File(head.content, head.length)
        elsewhere.files["/cdn/weights?signature=a%2Fb"] = elsewhere.files["/cdn/weights"]
        hub.put("org/small", "model.safetensors", moved(f"{elsewhere.url}/cdn/weights?signature=a%2Fb"))
        assert (await problem_of(session, hub)).reason is Reason.MODEL_ACCESS_DENIED
        assert (await problem_of(session, hub, token="wrong")).reason is Reason.MODEL_ACCESS_DENIED
        assert checkpoint(await read(session, hub, token="hf_secret")).total_bytes == LLAMA_BYTES
        assert elsewhere.asked and all("authorization" not in sent for _, sent in elsewhere.asked)


@pytest.mark.parametrize(
    ("file", "reason", "words"),
    [
        (File(status=401), Reason.MODEL_ACCESS_DENIED, "tokenSecretRef"),
        (File(status=403), Reason.MODEL_ACCESS_DENIED, "tokenSecretRef"),
        (File(status=401, headers={"X-Error-Code": "RepoNotFound"}), Reason.MODEL_NOT_FOUND, "private"),
        (File(status=404), Reason.MODEL_NOT_FOUND, "revision"),
        (File(status=500), Reason.HUB_UNREACHABLE, "500"),
        (File(b"{", length=0), Reason.MODEL_FACTS_UNREADABLE, "not JSON"),
        (File(b"[1]"), Reason.MODEL_FACTS_UNREADABLE, "not a JSON object"),
        (File(b"<html>", length=5 << 20), Reason.MODEL_FACTS_UNREADABLE, "longer than"),
        (moved("ftp://127.0.0.1/x"), Reason.HUB_UNREACHABLE, "not an HTTP(S) address"),
        (moved("file:///etc/passwd"), Reason.HUB_UNREACHABLE, "not an HTTP(S) address"),
        (moved("http://169.254.169.254/x"), Reason.HUB_UNREACHABLE, "metadata"),
        (moved("http://[fe80::1]/x"), Reason.HUB_UNREACHABLE, "metadata"),
        (moved("http://[::ffff:169.254.169.254]/"), Reason.HUB_UNREACHABLE, "metadata"),
        (moved("/org/small/resolve/main/config.json"), Reason.HUB_UNREACHABLE, "redirects more"),
    ],
)  # fmt: skip
async def test_each_refusal_has_its_reason(
    session: aiohttp.ClientSession, hub: LocalHub, file: File, reason: Reason, words: str
) -> None:
    hub.put("org/small", "config.json", file)
    found = await problem_of(session, hub)
    assert found.reason is reason and words in found.message, found.message


async def test_a_slow_hub_is_given_up(session: aiohttp.ClientSession, hub: LocalHub) -> None:
    hub.put("org/small", "config.json", File(b"{}", delay_seconds=3))
    found = await problem_of(session, hub, seconds=0.3)
    assert found.reason is Reason.HUB_UNREACHABLE and "0.3 s" in found.message


async def test_slow_weight_files_end_in_a_note(session: aiohttp.ClientSession, hub: LocalHub) -> None:
    hub.put_model("org/small", shards=3)
    hub.files["/org/small/resolve/main/model-00002-of-00003.safetensors"].delay_seconds = 3
    files = await read(session, hub, seconds=0.5)
    assert "could not all be read" in files[NOTE]


async def test_nobody_listens(session: aiohttp.ClientSession, hub: LocalHub) -> None:
    with LocalHub() as gone:
        pass
    found = await problem_of(session, gone)
    assert found.reason is Reason.HUB_UNREACHABLE


async def test_a_hub_that_asks_for_patience(session: aiohttp.ClientSession, hub: LocalHub) -> None:
    hub.put("org/small", "config.json", File(status=429, headers={"Retry-After": "120"}))
    assert (await problem_of(session, hub)).retry_after_seconds == 120


@pytest.mark.parametrize("model", ["/models/llama", "a/b/c", "org/..", "org/a b", "org/a?x=1", "ü/x", "-x/y"])
async def test_ids_that_no_hub_knows_are_not_asked_for(
    session: aiohttp.ClientSession, hub: LocalHub, model: str
) -> None:
    assert (await problem_of(session, hub, model=model)).reason is Reason.MODEL_NOT_FOUND
    assert hub.asked == []
