"""kubectl as a function: what tests ask a cluster, by the program that users use. Knows no product object."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]


class KubectlError(AssertionError):
    """kubectl ended with an error; the message is its own."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    program: Path
    kubeconfig: Path

    def run(self, *arguments: str, stdin: str | None = None, timeout_seconds: float = 60) -> str:
        """Standard output of `kubectl ARGUMENTS`; KubectlError when it fails."""
        command = [str(self.program), f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(
            command,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
        if done.returncode:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def apply(
        self, *objects: Mapping[str, Any] | str | Path, server_side: bool = True, options: tuple[str, ...] = ()
    ) -> str:
        """Apply objects, YAML text or files."""
        text = "\n---\n".join(_yaml(item) for item in objects)
        flags = ("--server-side", "--force-conflicts", "--field-manager=test") if server_side else ()
        return self.run("apply", *flags, *options, "-f", "-", stdin=text)

    def get(self, kind: str, name: str, namespace: str = "default") -> Object | None:
        """One object, or None where there is none of that name."""
        text = self.run("get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    def list(self, kind: str, namespace: str | None = "default", selector: str | None = None) -> list[Object]:
        """The objects of a kind; every namespace's with namespace=None."""
        where = ("-A",) if namespace is None else ("-n", namespace)
        which = ("-l", selector) if selector else ()
        items: list[Object] = json.loads(self.run("get", kind, *where, *which, "-o", "json"))["items"]
        return items

    def delete(self, kind: str, *names: str, namespace: str = "default", wait: bool = True) -> None:
        self.run("delete", kind, *names, "-n", namespace, "--ignore-not-found", f"--wait={str(wait).lower()}")

    def patch(
        self, kind: str, name: str, patch: Mapping[str, Any], namespace: str = "default", subresource: str | None = None
    ) -> None:
        """A JSON merge patch."""
        sub = (f"--subresource={subresource}",) if subresource else ()
        self.run("patch", kind, name, "-n", namespace, "--type=merge", *sub, "-p", json.dumps(patch))


def _yaml(item: Mapping[str, Any] | str | Path) -> str:
    if isinstance(item, Path):
        return item.read_text()
    return item if isinstance(item, str) else yaml.safe_dump(dict(item))
