"""A real API server takes every golden manifest: its own validation, defaults and admission, in a dry run."""

from control_plane.test_compute_domains import DEFINITION
from golden.cases import CASES, FOLDER
from support.cluster import ControlPlane


def test_every_golden_manifest_is_taken(control_plane: ControlPlane):
    kubectl = control_plane.kubectl
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "models"}})
    kubectl.apply(DEFINITION)
    kubectl.run("wait", "crd", DEFINITION["metadata"]["name"], "--for=condition=Established")
    try:
        answer = kubectl.run("apply", "--server-side", "--dry-run=server", "-f", str(FOLDER), timeout_seconds=180)
    finally:
        kubectl.delete("crd", DEFINITION["metadata"]["name"])
    sets = [line for line in answer.splitlines() if line.startswith("statefulset.apps/")]
    assert len(sets) == sum(case.replicas for case in CASES if not case.spec.get("suspend"))
