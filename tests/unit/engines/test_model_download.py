"""The program that has a model's files before the engine starts, as it runs in pods: real processes, the real
huggingface_hub, and a hub on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download

from golden.commands import member as group_member
from support.hub import File, LocalHub
from support.waiting import eventually
from unit.fake_engine.process import free_port

PROGRAM = Path(__file__).parents[3] / "operator/shardwright/engines/files/model.py"
MODEL, WEIGHTS = "org/small", bytes(range(256)) * 4096


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    """A model of two weight files, with what engines do not read beside them."""
    with LocalHub() as made:
        made.put(MODEL, "config.json", json.dumps({"model_type": "llama"}))
        made.put(MODEL, "tokenizer.json", "{}")
        made.put(MODEL, "model-00001-of-00002.safetensors", WEIGHTS)
        made.put(MODEL, "model-00002-of-00002.safetensors", WEIGHTS[::-1])
        for name in ("README.md", "original/consolidated.00.pth", "pytorch_model.bin", "optimizer.bin", "tf_model.h5"):
            made.put(MODEL, name, b"not wanted")
        yield made


class Node:
    """A node's shared folder; pods on it are processes with a view of their own."""

    def __init__(self, folder: Path, hub: LocalHub) -> None:
        self.folder, self.store, self.url = folder, folder / "store", hub.url
        self.store.mkdir()
        self.cache = self.store / hub.url.removeprefix("http://").replace(":", "_")

    def start(self, pod: str = "a", rows: object = None, **more: str) -> subprocess.Popen[str]:
        view = self.folder / f"view-{pod}"
        view.mkdir(exist_ok=True)
        (self.folder / f"ended-{pod}").write_text("")
        env = {
            "PATH": os.environ["PATH"], "HF_ENDPOINT": self.url, "SHARDWRIGHT_POD_UID": pod,
            "SHARDWRIGHT_MODELS": json.dumps(rows or [[MODEL, "main", "weights"]]),
            "SHARDWRIGHT_MODEL_STORE": str(self.store), "SHARDWRIGHT_MODEL_VIEW": str(view),
            "SHARDWRIGHT_TERMINATION_LOG": str(self.folder / f"ended-{pod}"), "SHARDWRIGHT_TRIES": "3",
            "SHARDWRIGHT_FIRST_RETRY_SECONDS": "0.2", "SHARDWRIGHT_LEASE_BEAT_SECONDS": "0.2",
            "SHARDWRIGHT_LEASE_STALE_SECONDS": "2", "HF_HUB_DOWNLOAD_TIMEOUT": "2", **more,
        }  # fmt: skip
        return subprocess.Popen(
            [sys.executable, str(PROGRAM)], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, pod: str = "a", rows: object = None, **more: str) -> tuple[int, str]:
        """Exit status, and the last words that kubelet would find."""
        last = self.folder / f"ended-{pod}"
        done = self.start(pod, rows, **more)
        output, _ = done.communicate(timeout=60)
        print(output)
        return done.returncode, last.read_text()

    def seen(self, pod: str = "a", model: str = MODEL, revision: str = "main") -> dict[str, bytes]:
        """The files as an engine without network finds them, by the real library."""
        view = self.folder / f"view-{pod}"
        found = Path(snapshot_download(model, revision=revision, cache_dir=view, local_files_only=True))
        return {str(path.relative_to(found)): path.read_bytes() for path in found.rglob("*") if path.is_file()}


@pytest.fixture
def node(tmp_path: Path, hub: LocalHub) -> Node:
    return Node(tmp_path, hub)


def fetched(hub: LocalHub) -> Counter[str]:
    """How often each file was asked for, by its name."""
    paths = [path for path in hub.paths() if "/resolve/" in path and not path.startswith("HEAD")]
    return Counter(path.rpartition("/")[2] for path in paths)


WANTED = {"config.json", "tokenizer.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}


def test_what_an_engine_reads_is_downloaded_and_found_without_network(node: Node, hub: LocalHub):
    assert node.run() == (0, "")
    found = node.seen()
    assert set(found) == WANTED
    assert found["model-00001-of-00002.safetensors"] == WEIGHTS
    assert set(fetched(hub)) == WANTED


def test_several_pods_of_a_node_download_once(node: Node, hub: LocalHub):
    for file in hub.files.values():
        file.delay_seconds = 0.3
    pods = [node.start(pod) for pod in "abcd"]
    assert [pod.wait(60) for pod in pods] == [0] * 4
    assert dict(fetched(hub)) == dict.fromkeys(WANTED, 1)
    assert all(set(node.seen(pod)) == WANTED for pod in "abcd")


def test_a_restart_downloads_nothing_and_needs_no_hub(node: Node, hub: LocalHub):
    assert node.run()[0] == 0
    before = len(hub.paths())
    assert node.run("b")[0] == 0
    assert hub.paths()[before:] == [f"/api/models/{MODEL}/revision/main?blobs=true"], "only whether the branch moved"
    began = time.monotonic()
    assert node.run("c", HF_ENDPOINT=node.url, HF_HUB_OFFLINE="1")[0] == 0
    assert time.monotonic() - began < 5
    for file in hub.files.values():
        file.status = 500
    hub.commits[MODEL, "main"] = "f" * 40
    hub.put(MODEL, "../api", b"")
    assert set(node.seen("c")) == WANTED


def test_a_commit_that_is_there_is_not_asked_about(node: Node, hub: LocalHub):
    hub.commits[MODEL, "main"] = commit = "c" * 40
    rows = [[MODEL, commit, "weights"]]
    assert node.run("a", rows)[0] == 0
    before = len(hub.paths())
    assert node.run("b", rows)[0] == 0
    assert len(hub.paths()) == before
    assert set(node.seen("b", revision=commit)) == WANTED


def test_a_branch_that_moves_does_not_move_what_an_engine_already_sees(node: Node, hub: LocalHub):
    assert node.run("a")[0] == 0
    hub.commits[MODEL, "main"] = "d" * 40
    hub.put(MODEL, "model-00002-of-00002.safetensors", b"newer")
    assert node.run("b")[0] == 0
    assert node.seen("a")["model-00002-of-00002.safetensors"] == WEIGHTS[::-1]
    assert node.seen("b")["model-00002-of-00002.safetensors"] == b"newer"
    assert fetched(hub)["model-00001-of-00002.safetensors"] == 1, "what did not change is not fetched again"
    commits = [(node.folder / f"view-{pod}/commits").read_text() for pod in "ab"]
    assert commits[0] != commits[1]


def test_a_download_that_is_cut_off_goes_on(node: Node, hub: LocalHub):
    hub.files[f"/{MODEL}/resolve/main/model-00001-of-00002.safetensors"].cut_after = 1000
    assert node.run() == (0, "")
    assert node.seen()["model-00001-of-00002.safetensors"] == WEIGHTS


def test_a_pod_that_is_killed_while_it_downloads_is_followed_by_the_next(node: Node, hub: LocalHub):
    slow = hub.files[f"/{MODEL}/resolve/main/model-00002-of-00002.safetensors"]
    slow.delay_seconds = 30
    first = node.start("a")
    eventually(lambda: fetched(hub)["config.json"], within_seconds=60, what="the first pod downloads")
    eventually(lambda: list(node.cache.glob(".shardwright/*.lease")), what="its lease")
    second = node.start("b")
    time.sleep(1)
    assert second.poll() is None, "the second waits for the first"
    slow.delay_seconds = 0
    first.kill()
    assert second.wait(60) == 0
    assert set(node.seen("b")) == WANTED
    assert not list(node.cache.glob("models--*/blobs/*.incomplete"))
    assert not list(node.cache.glob(".shardwright/*lease*"))


def test_a_pod_that_is_told_to_stop_lets_the_next_in_at_once(node: Node, hub: LocalHub):
    hub.files[f"/{MODEL}/resolve/main/model-00002-of-00002.safetensors"].delay_seconds = 30
    first = node.start("a")
    eventually(lambda: fetched(hub)["config.json"], within_seconds=60, what="it downloads, and its lease is taken")
    time.sleep(1)
    first.send_signal(signal.SIGTERM)
    assert first.wait(15) == 143, "long before the slow file is there"
    assert not list(node.cache.glob(".shardwright/*.lease"))


def test_a_container_that_comes_back_takes_its_own_lease(node: Node, hub: LocalHub):
    slow = hub.files[f"/{MODEL}/resolve/main/model-00002-of-00002.safetensors"]
    slow.delay_seconds = 30
    first = node.start("a")
    eventually(lambda: list(node.cache.glob(".shardwright/*.lease")), within_seconds=60, what="its lease")
    first.kill()
    first.wait()
    slow.delay_seconds = 0
    began = time.monotonic()
    assert node.run("a", SHARDWRIGHT_LEASE_STALE_SECONDS="60")[0] == 0
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("model", "revision", "code", "says"),
    [
        ("org/none", "main", 11, "ModelNotFound: {host} has no model org/none, or shows it only to a token"),
        (MODEL, "v9", 11, f"ModelNotFound: {{host}} has no {MODEL} at revision v9: correct spec.model.revision"),
    ],
)
def test_what_is_not_there_is_said(node: Node, hub: LocalHub, model: str, revision: str, code: int, says: str):
    status, words = node.run(rows=[[model, revision, "weights"]])
    assert status == code
    assert words.startswith(says.format(host=hub.url.removeprefix("http://")))


def test_a_gated_model_is_named_with_and_without_a_token(node: Node, hub: LocalHub):
    for file in hub.files.values():
        file.needs_token = "hf_right"
    status, words = node.run()
    assert status == 10 and words.startswith("ModelAccessDenied: ") and "no token was given" in words
    status, words = node.run(HF_TOKEN="hf_wrong")
    assert status == 10 and "this token may not read it" in words and "hf_wrong" not in words
    hub.needs_token = "hf_right"
    assert node.run(HF_TOKEN="hf_wrong")[0] == 10
    assert node.run(HF_TOKEN="hf_right")[0] == 0
    assert set(node.seen()) == WANTED


def test_a_token_goes_to_its_hub_and_to_no_other(node: Node, hub: LocalHub):
    name = "model-00001-of-00002.safetensors"
    with LocalHub() as elsewhere:
        elsewhere.files["/bytes"] = File(WEIGHTS)
        hub.files[f"/{MODEL}/resolve/main/{name}"] = File(
            status=302,
            headers={
                "Location": f"{elsewhere.url}/bytes", "X-Linked-Size": str(len(WEIGHTS)), "X-Linked-Etag": '"abc"',
            },
        )  # fmt: skip
        assert node.run(HF_TOKEN="hf_secret")[0] == 0
        assert {headers.get("authorization") for _, headers in hub.asked} == {"Bearer hf_secret"}
        assert elsewhere.asked and all("authorization" not in headers for _, headers in elsewhere.asked)
        api = f"/api/models/{MODEL}/revision/main?blobs=true"
        listing = hub.found(api)
        hub.files[api] = File(status=307, headers={"Location": f"{elsewhere.url}/listing"})
        elsewhere.files["/listing"] = listing
        assert node.run("b", HF_TOKEN="hf_secret")[0] == 0
        assert elsewhere.paths()[-1] == "/listing" and "authorization" not in elsewhere.asked[-1][1]
    assert node.seen()[name] == WEIGHTS


def test_a_hub_that_is_down_is_tried_again_and_then_named(node: Node, hub: LocalHub):
    down = hub.files.setdefault(f"/api/models/{MODEL}/revision/main?blobs=true", File(status=503))
    status, words = node.run()
    assert status == 13 and words.startswith("HubUnreachable: ") and "HTTP 503" in words
    assert len(hub.paths()) == 3
    started = node.start("b", SHARDWRIGHT_TRIES="20")
    eventually(lambda: len(hub.paths()) > 4, within_seconds=60, what="it is tried again")
    del hub.files[f"/api/models/{MODEL}/revision/main?blobs=true"]
    assert down.status == 503 and started.wait(30) == 0
    status, words = node.run("c", HF_ENDPOINT="http://127.0.0.1:9", SHARDWRIGHT_TRIES="1")
    assert status == 13 and "127.0.0.1:9 did not answer" in words


def test_without_a_hub_only_what_lies_there_is_used(node: Node, hub: LocalHub):
    """Somebody fills the folder beforehand, by the usual tool."""
    offline = {"HF_HUB_OFFLINE": "1"}
    status, words = node.run(**offline)
    assert status == 11 and "no hub may be asked" in words and str(node.cache) in words
    rows = json.loads(hub.listing(MODEL).content)["siblings"]
    tree = [{"type": "file", "path": row["rfilename"], "size": row["size"], "oid": "0" * 40} for row in rows]
    path = f"/api/models/{MODEL}/tree/{hub.commit(MODEL)}?recursive=true&expand=false"
    for form in (path, path.replace("true", "True").replace("false", "False")):
        hub.files[form] = File(json.dumps(tree).encode(), headers={"Content-Type": "application/json"})
    filled = "import huggingface_hub as h, sys; h.snapshot_download(sys.argv[1], cache_dir=sys.argv[2])"
    env = os.environ | {"HF_ENDPOINT": hub.url}
    subprocess.run([sys.executable, "-c", filled, MODEL, str(node.cache)], env=env, check=True)
    before = len(hub.paths())
    assert node.run(**offline) == (0, "")
    assert len(hub.paths()) == before
    assert set(node.seen()) >= WANTED


def test_a_full_disk_is_said_before_and_while_it_fills(tmp_path: Path, hub: LocalHub):
    """On a small file system of its own."""
    store = tmp_path / "disk" / "store"
    (tmp_path / "disk").mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(tmp_path / "disk")], check=False)
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        node = Node(tmp_path / "disk", hub)
        assert node.store == store
        status, words = node.run()
        assert status == 12 and words.startswith(f"DiskFull: {MODEL} needs 2 MiB more and {store} has 1 MiB free")
        for path in list(hub.files):
            hub.files[path].length = 0
        hub.files[f"/api/models/{MODEL}/revision/main?blobs=true"] = unsized(hub)
        status, words = node.run()
        assert status == 12 and "filled up while" in words
    finally:
        subprocess.run(["umount", str(tmp_path / "disk")], check=True)


def unsized(hub: LocalHub) -> File:
    """A listing of a mirror that tells no sizes."""
    answer = json.loads(hub.listing(MODEL).content)
    for row in answer["siblings"]:
        del row["size"]
    return File(json.dumps(answer).encode())


def test_a_store_that_cannot_be_written_is_said(node: Node):
    done = node.run(SHARDWRIGHT_MODEL_STORE="/proc")
    assert done[0] == 14 and done[1].startswith("ModelCacheUnusable: /proc cannot be written by user")


def test_an_image_without_the_library_is_told(node: Node, tmp_path: Path):
    (tmp_path / "huggingface_hub.py").write_text("raise ImportError('not in this image')")
    status, words = node.run(PYTHONPATH=str(tmp_path))
    assert status == 14 and "the engine's image has no huggingface_hub" in words


class Pair:
    """Two pods of a group, each at a loopback address of its own."""

    def __init__(self, node: Node) -> None:
        self.node, self.port = node, free_port()

    def env(self, index: int) -> dict[str, str]:
        return {
            "SHARDWRIGHT_GROUP": "127.0.0.2,127.0.0.3", "SHARDWRIGHT_MEMBER_PORT": str(self.port),
            "SHARDWRIGHT_POD_INDEX": str(index), "SHARDWRIGHT_MEMBER_ADDRESS": f"127.0.0.{index + 2}",
        }  # fmt: skip

    def prepares(self, index: int, **more: str) -> subprocess.Popen[str]:
        return self.node.start(str(index), **{**self.env(index), **more})

    def runs(self, index: int) -> subprocess.Popen[bytes]:
        """The member in the engine's container, which comes after."""
        words = [sys.executable, str(PROGRAM.with_name("member.py")), "--", "true"]
        return subprocess.Popen(words, env={**os.environ, **self.env(index), "SHARDWRIGHT_ENGINE_PORT": "1"})


def test_members_of_a_group_wait_for_each_other_s_files(node: Node):
    """Else the one whose files are there first would wait for the other in its engine's own time."""
    pair = Pair(node)
    first = pair.prepares(0)
    eventually((node.folder / "view-0/commits").exists, within_seconds=60, what="the first has its files")
    older = pair.prepares(1, SHARDWRIGHT_INCARNATION="7")
    time.sleep(3)
    assert first.poll() is None and older.poll() is None, "of another incarnation: none of the group"
    older.kill()
    older.wait()
    status, body, _ = group_member().ask("127.0.0.2", pair.port, "/member", 2)
    assert (status, body) == (404, b"{}"), "a member that asks finds no member yet"
    second = pair.prepares(1)
    assert second.wait(60) == 0, "the first says that its files are here"
    running = pair.runs(1)
    try:
        assert first.wait(60) == 0, "a member that runs has its files"
    finally:
        running.kill()
        running.wait()


def test_code_and_other_repositories_come_along(node: Node, hub: LocalHub):
    config = {"auto_map": {"AutoModel": "org/code--modeling.Model", "AutoConfig": "configuration.Config"}}
    hub.put(MODEL, "config.json", json.dumps(config))
    hub.put("org/code", "modeling.py", "class Model: ...")
    hub.put("org/code", "model.safetensors", WEIGHTS)
    hub.put("org/tokenizer", "tokenizer.json", "{}")
    hub.put("org/tokenizer", "model.safetensors", WEIGHTS)
    assert node.run(rows=[[MODEL, "main", "weights"], ["org/tokenizer", "main", "texts"]])[0] == 0
    assert set(node.seen(model="org/code")) == {"modeling.py"}
    assert set(node.seen(model="org/tokenizer")) == {"tokenizer.json"}
