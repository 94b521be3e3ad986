"""From a placement to the program of its pods: which engine renders it.

A new engine is one module with `program(...)`, one facts file in the catalogue and one line here. Knows no manifests.
"""

from collections.abc import Callable, Mapping

from shardwright.api.reasons import Reason
from shardwright.api.spec import EngineName, InferenceDeploymentSpec
from shardwright.catalog.engine_options import EngineOptions, default_version, engine_options
from shardwright.engines import trtllm, vllm
from shardwright.engines.context import GroupContext, Rendering, UnrenderableError
from shardwright.engines.program import PodProgram
from shardwright.engines.witness import witnessed
from shardwright.models.profile import ModelProfile
from shardwright.plan.types import Placement

__all__ = ["GroupContext", "PodProgram", "UnrenderableError", "options_of", "render"]

ENGINES: Mapping[EngineName, Callable[[Rendering], PodProgram]] = {
    EngineName.VLLM: vllm.program,
    EngineName.TRTLLM: trtllm.program,
}


def options_of(spec: InferenceDeploymentSpec) -> EngineOptions:
    """Give the command-line facts of the engine and version that the spec asks for."""
    return engine_options(spec.engine.name, spec.engine.version or default_version(spec.engine.name))


def render(
    spec: InferenceDeploymentSpec, profile: ModelProfile, placement: Placement, context: GroupContext
) -> PodProgram:
    """Render the program of one replica's pods. Raises UnrenderableError where the engine cannot run the layout."""
    layout = placement.layout
    if layout.gpus_per_replica % layout.nodes_per_replica:
        raise UnrenderableError(
            Reason.MULTI_NODE_NOT_SUPPORTED,
            f"{layout} has {layout.gpus_per_replica} GPUs, which {layout.nodes_per_replica} pods cannot share equally",
        )
    return witnessed(ENGINES[spec.engine.name](Rendering(spec, profile, placement, context, options_of(spec))))
