"""The names of all objects of a deployment, and the DNS names that follow. Names are derived, never random.

An InferenceDeployment's name has at most 40 characters and a replica's id at most 5, so that a StatefulSet's name stays
within the 52 that leave room for the revision hash in its pods' labels.
"""

SERVICE_NAMES_THAT_BREAK_ENGINES = {"vllm": "vllm-api"}
"""A Service named `vllm` puts VLLM_PORT=tcp://… into other pods of its namespace, and vLLM stops on that."""


def replica(name: str, replica_id: int) -> str:
    """Name a replica's StatefulSet, its ConfigMap and its PodDisruptionBudget."""
    return f"{name}-{replica_id}"


def pod(name: str, replica_id: int, index: int) -> str:
    """Name a pod of a replica; 0 is the leader."""
    return f"{replica(name, replica_id)}-{index}"


def group_service(name: str) -> str:
    """Name the headless Service that gives pods their DNS names."""
    return f"{name}-pods"


def client_service(name: str) -> str:
    """Name the Service that clients use."""
    return SERVICE_NAMES_THAT_BREAK_ENGINES.get(name, name)


def autoscaler(name: str) -> str:
    """Name the HorizontalPodAutoscaler."""
    return name


def shared_disruption_budget(name: str) -> str:
    """Name the PodDisruptionBudget of all replicas of one pod."""
    return name


def launch_secret(name: str, uid: str) -> str:
    """Name the Secret by which a deployment's pods know each other.

    With the uid, because an earlier deployment of that name may not have taken its own along yet.
    """
    return f"{name}-launch-{uid[:8]}"


def host(name: str, namespace: str, replica_id: int, index: int) -> str:
    """Name a pod in DNS; the cluster's domain comes from the search path, so it need not be known."""
    return f"{pod(name, replica_id, index)}.{group_service(name)}.{namespace}.svc"


def endpoint(name: str, namespace: str, port: int) -> str:
    """Give the URL that clients use, for status."""
    return f"http://{client_service(name)}.{namespace}.svc:{port}/v1"
