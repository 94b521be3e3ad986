"""Why a node cannot be planned on: one sentence each, with what to do. Knows no product and no pool."""

from collections.abc import Mapping
from typing import Any

from shardwright.api.reasons import Reason
from shardwright.inventory.disruption import DISRUPTION_TAINTS
from shardwright.inventory.hardware import Hardware
from shardwright.inventory.raw import at, sequence, text
from shardwright.inventory.resources import MIG_PREFIX

CORDON_TAINT = "node.kubernetes.io/unschedulable"


class UnusableNodeError(Exception):
    """Carries the reason up from wherever the node turned out unusable."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


def insist_on_gpus(hardware: Hardware) -> None:
    """Refuse nodes that offer no GPUs, or such as cannot be told apart by count."""
    if hardware.vendor is None:
        raise UnusableNodeError(Reason.NO_GPU, "the node offers no GPU resource and carries no GPU label")
    _insist_on_whole_gpus(hardware)
    vendors = {name.partition("/")[0] for name, count in hardware.allocatable if count}
    if hardware.several_products or len(vendors) > 1:
        named = ", ".join(hardware.several_products or sorted(vendors))
        raise UnusableNodeError(Reason.MIXED_GPUS, f"it has unlike GPUs ({named}), and a pod cannot ask for one kind")
    if hardware.resource is None:
        what = hardware.product_text or "GPUs"
        raise UnusableNodeError(
            Reason.LABELS_WITHOUT_DEVICES,
            f"its labels name {what}, but it offers none as allocatable; look at the device plugin's pod on it",
        )


def _insist_on_whole_gpus(hardware: Hardware) -> None:
    """Refuse GPUs that are shared or cut in several sizes; slices of one size are a pool of their own."""
    if sharing := hardware.sharing:
        pods = sharing.replicas if sharing.replicas > 1 else "several"
        raise UnusableNodeError(
            Reason.TIME_SHARED,
            f"its GPUs are shared by {sharing.strategy}, {pods} pods to a GPU, without a border in memory, "
            "which no memory forecast survives; turn sharing off on nodes for inference",
        )
    if hardware.partition:
        raise UnusableNodeError(
            Reason.MIG_MIXED,
            f"its cards are cut in partitions ({hardware.partition}), and labels state the memory of whole cards; "
            "set the mode spx_nps1 on nodes for inference",
        )
    offered, cards = hardware.offered, hardware.label_count or 0
    if hardware.mig is None and cards and offered > cards and offered % cards == 0:
        raise UnusableNodeError(
            Reason.TIME_SHARED,
            f"it offers {offered} devices of {cards} GPUs, so they are shared or cut in slices, and no label says how; "
            "turn that off on nodes for inference, or correct the label of their count",
        )
    sliced = [
        name.removeprefix(MIG_PREFIX) for name, count in hardware.allocatable if name.startswith(MIG_PREFIX) and count
    ]
    if sliced or (hardware.mig and hardware.mig.strategy == "mixed"):
        profiles = sliced or [profile for profile, _ in hardware.mig.profiles] if hardware.mig else sliced
        raise UnusableNodeError(
            Reason.MIG_MIXED,
            f"MIG strategy mixed ({', '.join(profiles)}): slices of several sizes are no pool; "
            "use strategy single (slices of one size), or turn MIG off",
        )


def insist_on_state(node: Mapping[str, Any]) -> None:
    """Refuse nodes that take no new pods. A list of nodes typed by hand has no conditions, and counts as ready."""
    taints = {text(at(taint, "key")) for taint in sequence(at(node, "spec", "taints"))}
    leaving = sorted(DISRUPTION_TAINTS.keys() & taints)
    if at(node, "metadata", "deletionTimestamp") or leaving:
        why = f"its taint {leaving[0]} says that it is about to go" if leaving else "the Node object is being deleted"
        raise UnusableNodeError(Reason.NODE_BEING_DELETED, why)
    conditions = list(sequence(at(node, "status", "conditions")))
    ready = [text(at(condition, "status")) for condition in conditions if at(condition, "type") == "Ready"]
    if conditions and ready[-1:] != ["True"]:
        raise UnusableNodeError(Reason.NODE_NOT_READY, f"its condition Ready is {ready[-1] if ready else 'missing'}")
    if at(node, "spec", "unschedulable") is True or CORDON_TAINT in taints:
        raise UnusableNodeError(Reason.NODE_CORDONED, "it is cordoned; `kubectl uncordon` makes it available")


def is_unreachable(node: Mapping[str, Any]) -> bool:
    """Whether the control plane has lost the node: Ready is Unknown, where a kubelet that is unwell says False."""
    conditions = sequence(at(node, "status", "conditions"))
    return any(at(c, "type") == "Ready" and text(at(c, "status")) == "Unknown" for c in conditions)
