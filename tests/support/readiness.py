"""How many replicas of a deployment were whole at every moment: told by a watch, so that no moment is missed."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.kubectl import Kubectl

READY = {"type": "Ready", "status": "True"}


class ReplicasWatched:
    """Watches a deployment's pods for as long as the block lasts."""

    def __init__(self, kubectl: Kubectl, namespace: str, name: str, *, group_size: int) -> None:
        self._words = [
            str(kubectl.program), f"--kubeconfig={kubectl.kubeconfig}", "get", "pods", "-n", namespace, "-o", "json",
            "-l", f"shardwright.io/deployment={name}", "--watch", "--output-watch-events",
        ]  # fmt: skip
        self._group_size = group_size

    def __enter__(self) -> ReplicasWatched:
        self._file = tempfile.NamedTemporaryFile(suffix=".json")
        self._process = subprocess.Popen(self._words, stdin=subprocess.DEVNULL, stdout=self._file)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._file.close()

    def fewest_ready(self) -> int:
        """The least number of whole replicas since all that the watch began with were seen."""
        assert self._process.poll() is None, "the watch ended"
        counts = list(self._counts())
        first = counts.index(max(counts)) if counts else 0
        return min(counts[first:], default=0)

    def _counts(self) -> Iterator[int]:
        pods: dict[str, dict[str, Any]] = {}
        for event in self._events():
            pod = event["object"]
            pods[pod["metadata"]["uid"]] = pod
            if event["type"] == "DELETED":
                del pods[pod["metadata"]["uid"]]
            whole: defaultdict[str, int] = defaultdict(int)
            for one in pods.values():
                whole[one["metadata"]["labels"]["shardwright.io/replica"]] += _serves(one)
            yield sum(count >= self._group_size for count in whole.values())

    def _events(self) -> Iterator[dict[str, Any]]:
        with Path(self._file.name).open(encoding="utf-8") as file:
            text = file.read()
        decoder, at = json.JSONDecoder(), 0
        while at < len(text):
            try:
                event, at = decoder.raw_decode(text, at)
            except ValueError:  # the last one is being written
                return
            yield event
            while at < len(text) and text[at].isspace():
                at += 1


def _serves(pod: dict[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    ready = any(READY.items() <= condition.items() for condition in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")
