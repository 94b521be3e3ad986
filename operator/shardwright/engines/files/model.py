#!/usr/bin/env python3
"""Have a model's files before the engine starts: from the store that this pod shares, else from a hub, once for all.

    model.py

Runs in the engine's image as an init container. Standard library, and the image's own huggingface_hub for the bytes.
What is wanted stands in SHARDWRIGHT_MODELS (JSON rows: id, revision, which files), where in SHARDWRIGHT_MODEL_STORE.

The store holds one Hugging Face cache for each hub (`<store>/<host>/models--org--name`). Whoever finds files missing
takes the lease beside them, downloads and notes that the snapshot is whole; the others wait for that note. A lease is
a file made by O_EXCL whose text changes every few seconds; a text that stands still for a minute is a dead owner's. So
nothing depends on clocks or on locks that network file systems only pretend to have.

The engine never sees the store's own references, which another pod may move: it gets a view of its own
(SHARDWRIGHT_MODEL_VIEW), in which the asked revision is exactly the snapshot that was made whole here.

In a group of pods it ends when all of them have their files, so that no engine waits for a download: the time that a
start may take begins after it. Until then each tells the others on the member's port, and a member that runs already
counts as one that has them.

What cannot be had is told by one line, `Reason: sentence`, in the termination message, and by an exit status.
"""

import http.client
import json
import os
import re
import signal
import socket
import socketserver
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from email.message import Message
from errno import EACCES, EDQUOT, ENOSPC, EPERM, EROFS
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, Any, NoReturn

DENIED, NOT_FOUND, DISK_FULL = "ModelAccessDenied", "ModelNotFound", "DiskFull"
UNREACHABLE, UNUSABLE = "HubUnreachable", "ModelCacheUnusable"
EXIT_CODES = {DENIED: 10, NOT_FOUND: 11, DISK_FULL: 12, UNREACHABLE: 13, UNUSABLE: 14}
COMMIT = re.compile(r"[0-9a-f]{40}")
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
NEVER = (
    ".onnx", ".onnx_data", ".h5", ".msgpack", ".ot", ".tflite", ".mlmodel", ".nemo", ".ckpt", ".engine", ".npz",
    ".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".mp4", ".mp3", ".wav", ".pdf", ".md", ".gitattributes",
)  # fmt: skip
"""Endings of what no engine reads."""
NEVER_IN = ("original/", "onnx/", "openvino/", "metal/", "coreml/", "runs/", "figures/", "assets/")
TRAINING = re.compile(r"(^|/)(optimizer|scheduler|training_args|rng_state)[^/]*$")
LEFT_BEHIND = re.compile(r"[.][0-9a-f]{8}[.]incomplete$")
WORKERS = 8
BEAT_SECONDS = float(os.environ.get("SHARDWRIGHT_LEASE_BEAT_SECONDS", "5"))
STALE_SECONDS = float(os.environ.get("SHARDWRIGHT_LEASE_STALE_SECONDS", "60"))
FIRST_RETRY_SECONDS = float(os.environ.get("SHARDWRIGHT_FIRST_RETRY_SECONDS", "2"))
TRIES = int(os.environ.get("SHARDWRIGHT_TRIES", "7"))
"""In a row without a byte more; with doubled waits in between that is four minutes. Then kubelet's back-off goes on."""
ASK_SECONDS = 20
TELL_SECONDS = 10


class ModelError(Exception):
    """The model cannot be had; `reason` is a word that the operator knows."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class Wish:
    """One repository at one revision."""

    def __init__(self, model: str, revision: str, files: str, hub: "Hub") -> None:
        self.model, self.revision, self.files = model, revision, files
        self.folder = os.path.join(hub.folder, "models--" + model.replace("/", "--"))
        name = urllib.parse.quote(f"{model}@{revision}.{files}", safe="@")
        self.note = os.path.join(hub.folder, ".shardwright", name + ".json")

    def __str__(self) -> str:
        return self.model if self.revision == "main" else f"{self.model} at {self.revision}"

    def snapshot(self, commit: str) -> str:
        """Where the cache keeps that commit's files."""
        return os.path.join(self.folder, "snapshots", commit)


class Hub:
    """A hub or a mirror, and who we are there."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.endpoint = (environment.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
        self.offline = environment.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
        self.token = environment.get("HF_TOKEN", "").strip()
        self.host = urllib.parse.urlsplit(self.endpoint).netloc.rpartition("@")[2]
        self.store = environment["SHARDWRIGHT_MODEL_STORE"]
        self.folder = os.path.join(self.store, self.host.replace(":", "_"))

    def listing(self, wish: Wish) -> tuple[str, dict[str, int]]:
        """The commit of a revision, and its files with their bytes (0 = not told). Raises ModelError."""
        place = f"/api/models/{urllib.parse.quote(wish.model)}/revision/{urllib.parse.quote(wish.revision, safe='')}"
        request = urllib.request.Request(self.endpoint + place + "?blobs=true", headers={"User-Agent": "shardwright"})
        if self.token:
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.build_opener(SameHost(self.token)).open(request, timeout=ASK_SECONDS) as response:
                answer = json.loads(response.read())
            files = {str(row["rfilename"]): int(row.get("size") or 0) for row in answer["siblings"]}
            return str(answer["sha"]), files
        except urllib.error.HTTPError as error:
            raise said(self, wish, error.code, error.headers.get("X-Error-Code") or "") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(UNREACHABLE, f"{self.host} did not answer for {wish}: {plain(error)}") from None


class SameHost(urllib.request.HTTPRedirectHandler):
    """Follows redirects; the token goes along only to the very same scheme, host and port."""

    def __init__(self, token: str) -> None:
        self.token = token

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        """As the parent, and the token where it belongs."""
        request = super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
        old, new = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if request is not None and self.token and (old.scheme, old.netloc) == (new.scheme, new.netloc):
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        return request


def said(hub: Hub, wish: Wish, status: int, code: str) -> ModelError:
    """What a hub's refusal means to a person."""
    if code == "RevisionNotFound" or (status == 404 and code not in {"RepoNotFound", ""}):
        where = f"{wish.model} at revision {wish.revision}"
        return ModelError(NOT_FOUND, f"{hub.host} has no {where}: correct spec.model.revision")
    if status == 404 or code == "RepoNotFound":
        strangers = "" if hub.token else ", or shows it only to a token (spec.model.source.hub.tokenSecretRef)"
        return ModelError(NOT_FOUND, f"{hub.host} has no model {wish}{strangers}: correct spec.model.id or revision")
    if status in {401, 403}:
        who = "this token" if hub.token else "no token was given, and without one it"
        why = "the model is gated: ask for access on its page" if code == "GatedRepo" else "name one that may"
        return ModelError(DENIED, f"{hub.host} refuses {wish} (HTTP {status}): {who} may not read it; {why}")
    return ModelError(UNREACHABLE, f"{hub.host} answers HTTP {status} for {wish}")


def judged(error: BaseException, hub: Hub, wish: Wish) -> ModelError:
    """What an error of huggingface_hub or of the system means."""
    if isinstance(error, ModelError):
        return error
    for each in causes(error):
        number, text = getattr(each, "errno", None), str(each)
        if number in {ENOSPC, EDQUOT} or "No space left on device" in text or "Disk quota exceeded" in text:
            return ModelError(DISK_FULL, f"{hub.store} filled up while {wish} was downloaded: {room(hub.store)}")
        if number in {EACCES, EPERM, EROFS}:
            return unusable(hub.store, each)
    status, code = next(filter(None, map(refusal, causes(error))), (0, ""))
    return said(hub, wish, status, code) if status else ModelError(UNREACHABLE, f"{hub.host}: {plain(error)}")


def refusal(error: BaseException) -> tuple[int, str] | None:
    """The HTTP status and the hub's word of an error; versions of the library raise unlike classes, so names count."""
    names = {kind.__name__ for kind in type(error).__mro__}
    status = int(getattr(getattr(error, "response", None), "status_code", 0) or 0)
    if "GatedRepoError" in names:
        return status or 403, "GatedRepo"
    if "RevisionNotFoundError" in names:
        return 404, "RevisionNotFound"
    if "RepositoryNotFoundError" in names:
        return 404, "RepoNotFound"
    return (status, "") if status in {401, 403, 404} else None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def plain(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(getattr(error, "reason", "") or error).split())
    return f"{type(error).__name__}: {text}"[:500]


def unusable(path: str, error: BaseException) -> ModelError:
    """The store does not take what is written to it."""
    who = f"user {os.getuid()}"
    return ModelError(UNUSABLE, f"{path} cannot be written by {who}: {plain(error)}; let that user write there")


def room(path: str) -> str:
    """How much is free, in words."""
    return f"{gib(free_bytes(path))} free"


def free_bytes(path: str) -> int:
    """Bytes that may still be written."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def gib(size: int) -> str:
    """Bytes in words."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def wanted(names: list[str], files: str) -> list[str]:
    """Those that an engine reads: `weights` of one kind, `texts` only, or `all` kinds of weights."""
    kept = [name for name in names if not name.startswith(NEVER_IN) and not name.lower().endswith(NEVER)]
    weights = [name for name in kept if name.endswith(WEIGHTS)]
    texts = [name for name in kept if not name.endswith(WEIGHTS) and not TRAINING.search(name)]
    if files == "texts":
        return texts
    if files == "all":
        return texts + weights
    for ending in WEIGHTS:
        found = [name for name in weights if name.endswith(ending) and not TRAINING.search(name)]
        others = [name for name in found if not os.path.basename(name).startswith("consolidated")]
        if found:  # Mistral's own format lies beside the same weights in the usual one
            return texts + (others or found)
    return texts


def complete(wish: Wish) -> str:
    """The commit that was noted as whole and still is; empty where there is none."""
    try:
        with open(wish.note, encoding="utf-8") as file:
            note = json.load(file)
        commit, files = str(note["commit"]), note["files"]
        for name, size in files.items():
            if size and os.stat(os.path.join(wish.snapshot(commit), name)).st_size != size:
                return ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    return commit


def laid_there(wish: Wish) -> str:
    """A snapshot that somebody put into the store, as `hf download` does: not checked against a hub."""
    commit = wish.revision
    with suppress(OSError), open(os.path.join(wish.folder, "refs", wish.revision), encoding="utf-8") as file:
        commit = file.read().strip()
    try:
        names = os.listdir(wish.snapshot(commit))
    except OSError:
        return ""
    return commit if COMMIT.fullmatch(commit) and "config.json" in names else ""


class Lease:
    """The right to download one thing, held by at most one pod; kept alive by a thread."""

    def __init__(self, path: str, owner: str) -> None:
        self.path, self.owner = path, owner
        self.over = threading.Event()
        self.beats = 0

    def take(self, given: Callable[[], bool]) -> bool:
        """Wait for it; False as soon as `given` says that there is nothing left to do."""
        seen, since, told = "", time.monotonic(), 0.0
        while not given():
            with suppress(FileExistsError):
                with os.fdopen(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666), "w") as file:
                    file.write(self.text())
                threading.Thread(target=self.keep, daemon=True).start()
                return True
            text = self.read()
            if text != seen:
                seen, since = text, time.monotonic()
            if text.startswith(self.owner + " ") or time.monotonic() - since > STALE_SECONDS:
                self.remove(text)
                continue
            if time.monotonic() - told > 6 * TELL_SECONDS:
                told = time.monotonic()
                say(f"another pod downloads it ({text.partition(' ')[0] or 'unknown'}): waiting")
            time.sleep(min(1.0, BEAT_SECONDS))
        return False

    def text(self) -> str:
        """What says that we live: never the same twice."""
        self.beats += 1
        return f"{self.owner} {uuid.uuid4().hex} {self.beats}"

    def read(self) -> str:
        """What stands there; opened anew, so that a network file system asks its server."""
        try:
            with open(self.path, encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def remove(self, text: str) -> None:
        """Take a dead owner's away. Only one of many can rename it, and a living one's goes back."""
        aside = f"{self.path}.{uuid.uuid4().hex}"
        with suppress(OSError):
            os.rename(self.path, aside)
            with open(aside, encoding="utf-8") as file:
                living = file.read() != text
            if living:
                os.link(aside, self.path)
            os.unlink(aside)

    def keep(self) -> None:
        """Change the text again and again; end this process where the lease is another's."""
        while not self.over.wait(BEAT_SECONDS):
            if not self.read().startswith(self.owner + " "):
                if self.over.is_set():
                    return
                say("the lease of this download was taken by another pod: begins again")
                os._exit(1)
            with suppress(OSError), open(self.path, "r+", encoding="utf-8") as file:
                file.write(self.text())
                file.truncate()

    def give_back(self) -> None:
        """Let the next one in."""
        self.over.set()
        if self.read().startswith(self.owner + " "):
            with suppress(OSError):
                os.unlink(self.path)


@contextmanager
def told_often(wish: Wish, total: int) -> Iterator[None]:
    """Say every ten seconds how far it is."""
    over = threading.Event()

    def tell() -> None:
        while not over.wait(TELL_SECONDS):
            say(f"{wish}: {gib(written(wish))} of {gib(total)}")

    threading.Thread(target=tell, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def written(wish: Wish) -> int:
    """Bytes of a repository that lie in the store, unfinished ones too."""
    blobs = os.path.join(wish.folder, "blobs")
    size = 0
    with suppress(OSError):
        for entry in os.scandir(blobs):
            size += entry.stat().st_size
    return size


def download(hub: Hub, wish: Wish, commit: str, files: dict[str, int]) -> None:
    """Bring the files into the cache, eight at once, as often as that brings more. Raises ModelError."""
    missing = {name: size for name, size in files.items() if not has_all(size_of(wish, commit, name), size)}
    clear(wish)
    need, free = sum(missing.values()) - unfinished(wish), free_bytes(hub.store)
    if need > free:
        sentence = f"{wish} needs {gib(need)} more and {hub.store} has {gib(free)} free"
        raise ModelError(DISK_FULL, f"{sentence}: make room there, or name a larger one in spec.model.source.hub.cache")
    say(f"{wish}: {len(missing)} files, {gib(sum(missing.values()))} from {hub.host}, {gib(free)} free")
    with told_often(wish, sum(files.values())):
        patiently(lambda: bring(hub, wish, commit, list(missing)), lambda: written(wish))


def clear(wish: Wish) -> None:
    """Remove what killed downloads left that nobody can go on with: newer libraries name it anew each time."""
    with suppress(OSError):
        for entry in os.scandir(os.path.join(wish.folder, "blobs")):
            if LEFT_BEHIND.search(entry.name):
                os.unlink(entry.path)


def unfinished(wish: Wish) -> int:
    """Bytes of downloads that were cut off and go on."""
    size = 0
    with suppress(OSError):
        for entry in os.scandir(os.path.join(wish.folder, "blobs")):
            size += entry.stat().st_size if entry.name.endswith(".incomplete") else 0
    return size


def has_all(found: int | None, size: int) -> bool:
    """Whether a file is there in its whole length, as far as the hub told one."""
    return found is not None and (not size or found == size)


def size_of(wish: Wish, commit: str, name: str) -> int | None:
    """Bytes of a finished file; None where there is none."""
    try:
        return os.stat(os.path.join(wish.snapshot(commit), name)).st_size
    except OSError:
        return None


def patiently(attempt: Callable[[], Any], progress: Callable[[], int] = lambda: 0) -> Any:
    """Try again what may mend itself, with doubled waits; as long as there is progress the count begins anew."""
    tries, had = 0, progress()
    while True:
        try:
            return attempt()
        except ModelError as failure:
            has = progress()
            tries, had = (1, has) if has > had else (tries + 1, had)
            if failure.reason != UNREACHABLE or tries >= TRIES:
                raise
            delay = min(60.0, FIRST_RETRY_SECONDS * 2 ** (tries - 1))
            say(f"{failure}; again in {delay:.0f} s")
            time.sleep(delay)


def bring(hub: Hub, wish: Wish, commit: str, names: list[str]) -> None:
    """Download once what is missing; the first failure ends it. Raises ModelError."""
    try:
        from huggingface_hub import hf_hub_download  # noqa: PLC0415 (a second to load, and not always needed)
    except ImportError as lack:
        raise ModelError(
            UNUSABLE, f"the engine's image has no huggingface_hub to download with: {plain(lack)}"
        ) from None

    def one(name: str) -> None:
        hf_hub_download(wish.model, name, revision=commit, cache_dir=hub.folder, token=hub.token or False)

    pool, waits = ThreadPoolExecutor(WORKERS), True
    try:
        for future in as_completed([pool.submit(one, name) for name in names]):
            error = future.exception()
            if error is not None:
                raise judged(error, hub, wish)
    except SystemExit:  # told to stop: what is under way is left to end with the process
        waits = False
        raise
    finally:
        pool.shutdown(wait=waits, cancel_futures=True)


def asked(hub: Hub, wish: Wish, *, patient: bool) -> tuple[str, dict[str, int]]:
    """What the hub has, asked once or until it answers. Raises ModelError."""
    if hub.offline:
        raise ModelError(UNREACHABLE, "no hub may be asked")
    listing: tuple[str, dict[str, int]] = patiently(lambda: hub.listing(wish)) if patient else hub.listing(wish)
    return listing


def have(hub: Hub, wish: Wish, owner: str) -> str:
    """See to it that a wish's files are whole in the store; their commit. Raises ModelError."""
    known = complete(wish)
    if known and known == wish.revision:
        return known  # a commit never changes: nobody need be asked
    try:
        commit, every = asked(hub, wish, patient=not known)
    except ModelError as failure:
        found = known or (laid_there(wish) if failure.reason == UNREACHABLE else "")
        if found:
            say(f"{failure}: goes on with {wish.model} at {found}, which lies in {hub.folder}")
            return found
        if hub.offline:
            lack = f"{wish} does not lie in {hub.folder}, and {failure}"
            raise ModelError(NOT_FOUND, f"{lack}: put it there, as `hf download` does") from None
        raise
    if commit == known:
        return known
    files = {name: every[name] for name in wanted(sorted(every), wish.files)}
    os.makedirs(os.path.dirname(wish.note), exist_ok=True)
    lease = Lease(wish.note + ".lease", owner)
    if lease.take(lambda: complete(wish) == commit):
        try:
            download(hub, wish, commit, files)
            check(wish, commit, files)
            note(wish, commit, files)
        finally:
            lease.give_back()
    return commit


def check(wish: Wish, commit: str, files: dict[str, int]) -> None:
    """Every file is there in its whole length. Raises ModelError."""
    for name, size in files.items():
        found = size_of(wish, commit, name)
        if not has_all(found, size):
            with suppress(OSError):  # else it would be taken for finished the next time
                os.unlink(os.path.realpath(os.path.join(wish.snapshot(commit), name)))
            raise ModelError(UNREACHABLE, f"{name} of {wish} has {found} bytes and not {size}: downloaded again")


def note(wish: Wish, commit: str, files: dict[str, int]) -> None:
    """Write down, in one step, that a snapshot is whole."""
    sizes = {name: size_of(wish, commit, name) for name in files}
    part = f"{wish.note}.{uuid.uuid4().hex}"
    with open(part, "w", encoding="utf-8") as file:
        json.dump({"commit": commit, "files": sizes}, file)
    os.replace(part, wish.note)


def show(wish: Wish, commit: str, view: str) -> None:
    """Let the engine find this snapshot, and no other, under the revision it asks for."""
    folder = os.path.join(view, os.path.basename(wish.folder))
    ref = os.path.join(folder, "refs", wish.revision)
    os.makedirs(os.path.dirname(ref), exist_ok=True)
    os.makedirs(os.path.join(folder, "snapshots"), exist_ok=True)
    link = os.path.join(folder, "snapshots", commit)
    with suppress(FileNotFoundError):
        os.unlink(link)
    os.symlink(wish.snapshot(commit), link)
    if wish.revision != commit:
        with open(ref, "w", encoding="utf-8") as file:
            file.write(commit)


def code_elsewhere(folder: str) -> list[str]:
    """Other repositories whose Python code a config names (`org/name--module.Class`)."""
    found = set()
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json"):
        try:
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                rows = json.load(file).get("auto_map") or {}
            for value in rows.values():
                texts = value if isinstance(value, list) else [value]
                found |= {text.partition("--")[0] for text in texts if isinstance(text, str) and "--" in text}
        except (OSError, ValueError, AttributeError):
            continue
    return sorted(found)


def run(environment: dict[str, str]) -> None:
    """Have everything, and show it to the engine. Raises ModelError."""
    hub, view = Hub(environment), environment["SHARDWRIGHT_MODEL_VIEW"]
    owner = environment.get("SHARDWRIGHT_POD_UID") or f"{socket.gethostname()}-{os.getpid()}"
    rows = json.loads(environment["SHARDWRIGHT_MODELS"])
    wishes = [Wish(model, revision, files, hub) for model, revision, files in rows]
    done: list[str] = []
    while wishes:
        wish = wishes.pop(0)
        try:
            os.makedirs(hub.folder, exist_ok=True)
            commit = have(hub, wish, owner)
            show(wish, commit, view)
        except OSError as error:  # of the store or the view: what a hub says comes as a ModelError
            full = judged(error, hub, wish)
            raise full if full.reason == DISK_FULL else unusable(hub.store, error) from error
        done.append(f"{wish.model}@{commit}")
        say(f"{wish}: commit {commit} is whole in {hub.folder}")
        if len(done) == 1:
            wishes += [Wish(name, "main", "texts", hub) for name in code_elsewhere(wish.snapshot(commit))]
    with open(os.path.join(view, "commits"), "w", encoding="utf-8") as file:
        file.write("\n".join(done) + "\n")


class Group:
    """The pods of this pod's group."""

    def __init__(self, environment: dict[str, str]) -> None:
        hosts = environment.get("SHARDWRIGHT_GROUP", "").split(",")
        self.index = int(environment.get("SHARDWRIGHT_POD_INDEX", "0"))
        self.others = [host for index, host in enumerate(hosts) if host and index != self.index]
        self.port = int(environment.get("SHARDWRIGHT_MEMBER_PORT", "0"))
        self.address = environment.get("SHARDWRIGHT_MEMBER_ADDRESS", "")  # to listen on; empty = all
        self.incarnation = environment.get("SHARDWRIGHT_INCARNATION", "0")

    def has_files(self, host: str) -> bool:
        """Whether another pod of this incarnation has its files: it says so, or its member runs."""
        connection = http.client.HTTPConnection(host, self.port, timeout=2)
        try:
            connection.request("GET", "/prepared")  # a member knows no such path and says who it is all the same
            answer = json.loads(connection.getresponse().read(65536))
            return str(answer.get("incarnation")) == self.incarnation
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            return False
        finally:
            connection.close()

    def wait(self) -> None:
        """Until all others have theirs; for as long as that takes."""
        if not self.others:
            return
        threading.Thread(target=self.server().serve_forever, args=(0.1,), daemon=True).start()
        missing, told = list(self.others), 0.0
        while missing := [host for host in missing if not self.has_files(host)]:
            if time.monotonic() - told > 6 * TELL_SECONDS:
                told = time.monotonic()
                say(f"the files are here; waiting for those of {', '.join(missing)}")
            time.sleep(0.5)

    def server(self) -> ThreadingHTTPServer:
        """Tell the others that the files are here."""
        said = json.dumps({"incarnation": self.incarnation}).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = self.path == "/prepared"
                body = said if known else b"{}"  # who asks for a member finds none yet
                self.send_response(200 if known else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Questions are not news."""

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if not self.address and socket.has_dualstack_ipv6() else socket.AF_INET
            daemon_threads = True

            def server_bind(self) -> None:
                if self.address_family == socket.AF_INET6:
                    self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                socketserver.TCPServer.server_bind(self)

        return Server((self.address, self.port), Handler)


def say(text: str) -> None:
    """One line of the log."""
    print(f"model: {text}", flush=True)


def end(code: int) -> NoReturn:
    """Leave at once: threads that still download are not waited for."""
    sys.stdout.flush()
    os._exit(code)


def main() -> NoReturn:
    """Run, and tell what became of it where kubelet reads it."""

    def told_to_stop(*_: object) -> None:
        raise SystemExit(143)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told_to_stop)
    os.umask(0o022)
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_SHARED_BLOBS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("HF_HOME", os.path.join(os.environ["SHARDWRIGHT_MODEL_VIEW"], ".home"))
    try:
        run(dict(os.environ))
        Group(dict(os.environ)).wait()
    except ModelError as failure:
        say(f"{failure.reason}: {failure}")
        path = os.environ.get("SHARDWRIGHT_TERMINATION_LOG", "/dev/termination-log")
        with suppress(OSError), open(os.open(path, os.O_WRONLY | os.O_TRUNC), "w", encoding="utf-8") as file:
            file.write(f"{failure.reason}: {failure}"[:4000])
        end(EXIT_CODES[failure.reason])
    except SystemExit as stopped:
        end(int(stopped.code or 0))
    end(0)


if __name__ == "__main__":
    main()
