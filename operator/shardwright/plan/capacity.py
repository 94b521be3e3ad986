"""How many typical requests one replica computes at once: what the autoscaler's own target comes from.

Not the `maxConcurrency` of the status, which counts requests of the full context: few are that long, and a target made
of it would ask for many times the GPUs that the load needs.
"""

from shardwright.api.spec import InferenceDeploymentSpec
from shardwright.plan.memory_arguments import EngineArguments
from shardwright.plan.memory_versions import version_facts
from shardwright.plan.request import DEFAULT_OUTPUT_TOKENS, DEFAULT_PROMPT_TOKENS, engine_options, engine_version
from shardwright.plan.types import Placement, Plan


def requests_at_once(spec: InferenceDeploymentSpec, plan: Plan) -> int:
    """Give the least of the placements, since the Service spreads evenly; at least 1, and 0 where nothing is placed."""
    return min((_of_replica(spec, placement) for placement in plan.placements), default=0)


def _of_replica(spec: InferenceDeploymentSpec, placement: Placement) -> int:
    """As many as the KV cache holds and the engine takes into its batch, on each data-parallel rank."""
    objective = spec.objective
    prompt = objective.typical_prompt_tokens or DEFAULT_PROMPT_TOKENS
    output = objective.typical_output_tokens or DEFAULT_OUTPUT_TOKENS
    asked = EngineArguments.from_options(engine_options(spec.engine)).max_num_seqs
    facts = version_facts(spec.engine.name, engine_version(spec.engine))
    sequences = asked or facts.batch_limits(placement.memory.total_bytes, placement.product)[1]
    held = placement.memory.kv_cache_tokens // (prompt + output)
    return max(1, min(sequences, held)) * placement.layout.data
