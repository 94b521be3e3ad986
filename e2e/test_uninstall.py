"""What `helm uninstall` takes and what it leaves, and that a later install takes the deployments up again."""

from __future__ import annotations

from support.installed import SMALL, Installed
from support.waiting import eventually


def test_uninstall_leaves_what_users_made_and_install_takes_it_up_again(installed: Installed):
    namespace = installed.namespace()
    installed.apply("stays", namespace, SMALL)
    installed.available("stays", namespace)
    pods = {pod["metadata"]["uid"] for pod in installed.kubectl.list("pods", namespace)}
    installed.cluster.helm("uninstall", "shardwright", "-n", "shardwright-system", "--wait")
    assert installed.kubectl.get("crd", "inferencedeployments.shardwright.io", "")
    assert installed.get("stays", namespace)["status"]["readyReplicas"] == 1
    assert not installed.kubectl.get("clusterrole", "shardwright", "")
    assert not installed.kubectl.get("apiservice", "v1beta1.external.metrics.k8s.io", "")
    assert "TP1·PP1" in installed.ask(f"http://stays.{namespace}.svc:8000/v1", "small"), (
        "it serves without the operator"
    )
    installed.install()
    installed.kubectl.patch("infd", "stays", {"spec": {"replicas": 2}}, namespace)
    eventually(lambda: installed.get("stays", namespace)["status"].get("readyReplicas") == 2, within_seconds=90)
    assert pods <= {pod["metadata"]["uid"] for pod in installed.kubectl.list("pods", namespace)}, (
        "the first replica was left alone"
    )
