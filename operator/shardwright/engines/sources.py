"""Where the engine reads the model: its word on the command line, the volume that holds it, the environment it needs.

All sources are read-only to the engine, and no engine goes to a hub: what comes from one is there before it starts
(`engines/download.py`), unless the spec's author keeps a cache of their own.
"""

from dataclasses import dataclass

from shardwright.api.spec import InferenceDeploymentSpec
from shardwright.engines.context import Rendering
from shardwright.engines.download import CACHE_VARIABLES, downloaded, is_hub_id
from shardwright.engines.program import Preparation, Variable, Volume

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
    preparation: Preparation | None = None
    files: tuple[tuple[str, str], ...] = ()
    """Of the preparation."""

    @property
    def is_local(self) -> bool:
        """Whether the files come from a volume that the spec names."""
        return self.argument.startswith("/")


def model_argument(spec: InferenceDeploymentSpec) -> str:
    """Give the engine's word for the model: its id, or a path in the container."""
    source = spec.model.source
    if source is None or source.hub is not None:
        return spec.model.id
    folder = next((place.path for place in (source.persistent_volume_claim, source.image) if place), "")
    return "/".join(part for part in (MODELS_PATH, folder.strip("/")) if part)


def model_location(rendering: Rendering) -> ModelLocation:
    """Read `spec.model.source`; absent or empty means the hub of this installation."""
    model = rendering.spec.model
    served_name = model.served_name or model.id
    if volume := _volume(rendering.spec):
        return ModelLocation(model_argument(rendering.spec), served_name, (Variable("HF_HUB_OFFLINE", "1"),), (volume,))
    if not is_hub_id(model.id) or _keeps_its_own_cache(rendering):
        return ModelLocation(model.id, served_name, _hub_variables(rendering), ())
    work = downloaded(rendering, _hub_variables(rendering))
    return ModelLocation(model.id, served_name, work.env, work.volumes, work.preparation, work.files)


def _hub_variables(rendering: Rendering) -> tuple[Variable, ...]:
    """Tell whoever asks the hub where it is and who we are there."""
    source = rendering.spec.model.source
    hub = source.hub if source else None
    endpoint = (hub.endpoint if hub else None) or rendering.context.hub
    said = [Variable("HF_ENDPOINT", endpoint)] if endpoint else [Variable("HF_HUB_OFFLINE", "1")]
    if hub and hub.token_secret_ref:
        reference = hub.token_secret_ref
        said.append(Variable("HF_TOKEN", secret_name=reference.name, secret_key=reference.key))
    return tuple(said)


def _keeps_its_own_cache(rendering: Rendering) -> bool:
    """Whether the spec's author says where the engine's cache is: then what is in it is their care."""
    spec = rendering.spec
    names = {setting.name for setting in spec.engine.env or ()}
    names |= {str(fragment.get("name")) for fragment in spec.pod_template.env or ()}
    return bool(names & CACHE_VARIABLES)


def _volume(spec: InferenceDeploymentSpec) -> Volume | None:
    """Choose the volume that holds the model already; None where it comes from a hub."""
    source = spec.model.source
    if source and source.persistent_volume_claim:
        return Volume("model", MODELS_PATH, read_only=True, claim=source.persistent_volume_claim.claim_name)
    if source and source.host_path:
        return Volume("model", MODELS_PATH, read_only=True, host_path=source.host_path.path)
    if source and source.image:
        return Volume("model", MODELS_PATH, read_only=True, image=source.image.reference)
    return None


def cache_volume(rendering: Rendering) -> Volume:
    """Keep compiled kernels over a restart and, in a folder of the node for each namespace, over the pod's end."""
    path, namespace = rendering.context.cache_host_path, rendering.context.namespace
    if not path:
        return Volume("cache", CACHE_PATH)
    return Volume("cache", CACHE_PATH, host_path=path, create_host_path=True, sub_path=f"{namespace}/engine")
