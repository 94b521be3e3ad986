"""Where the engine reads the model: its word on the command line, the volume that holds it, the environment it needs.

All sources are read-only to the engine. A local source never goes to the Hub.
"""

from dataclasses import dataclass

from shardwright.api.spec import InferenceDeploymentSpec
from shardwright.engines.program import Variable, Volume

MODELS_PATH = "/models"
CACHE_PATH = "/var/cache/shardwright"


@dataclass(frozen=True, slots=True)
class ModelLocation:
    """What the engine is told."""

    argument: str
    """A Hub id or a path in the container."""
    served_name: str
    env: tuple[Variable, ...]
    volumes: tuple[Volume, ...]

    @property
    def is_local(self) -> bool:
        """Whether the files come from a volume."""
        return self.argument.startswith("/")


def model_location(spec: InferenceDeploymentSpec) -> ModelLocation:
    """Read `spec.model.source`; absent or empty means the public Hub."""
    model = spec.model
    served_name = model.served_name or model.id
    source = model.source
    if source and source.persistent_volume_claim:
        claim = source.persistent_volume_claim
        return _local(served_name, claim.path, Volume("model", MODELS_PATH, read_only=True, claim=claim.claim_name))
    if source and source.host_path:
        return _local(served_name, "", Volume("model", MODELS_PATH, read_only=True, host_path=source.host_path.path))
    if source and source.image:
        volume = Volume("model", MODELS_PATH, read_only=True, image=source.image.reference)
        return _local(served_name, source.image.path, volume)
    hub = source.hub if source else None
    env = []
    if hub and hub.endpoint:
        env.append(Variable("HF_ENDPOINT", hub.endpoint))
    if hub and hub.token_secret_ref:
        reference = hub.token_secret_ref
        env.append(Variable("HF_TOKEN", secret_name=reference.name, secret_key=reference.key))
    return ModelLocation(model.id, served_name, tuple(env), ())


def _local(served_name: str, folder: str, volume: Volume) -> ModelLocation:
    path = "/".join(part for part in (MODELS_PATH, folder.strip("/")) if part)
    return ModelLocation(path, served_name, (Variable("HF_HUB_OFFLINE", "1"),), (volume,))


def cache_volume(host_path: str) -> Volume:
    """Keep downloads and compiled kernels over a restart and, in a folder of the node, over the pod's end."""
    return Volume("cache", CACHE_PATH, host_path=host_path, create_host_path=bool(host_path))
