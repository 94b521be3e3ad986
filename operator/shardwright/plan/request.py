"""What a spec asks of planning, with every default resolved; or which of its fields cannot be honoured for this model.

The only room that knows both the spec and the model: a field that is fine by itself (the CRD saw to that) may still be
impossible for the model it names. Must never know a pool.
"""

from collections.abc import Iterator

from shardwright.api.problems import FieldProblem
from shardwright.api.reasons import Reason
from shardwright.api.spec import EngineName, EngineSpec, ExpertParallelism, InferenceDeploymentSpec, LayoutSpec
from shardwright.catalog.engine_options import engine_options as option_table
from shardwright.models.profile import ModelProfile
from shardwright.plan.types import LayoutPins, PlanRequest

DEFAULT_ENGINE_VERSIONS = {EngineName.VLLM: "0.32.0", EngineName.TRTLLM: "1.2.1"}
DEFAULT_PROMPT_TOKENS = 1024
DEFAULT_OUTPUT_TOKENS = 256
_CONTEXT_OPTION = {EngineName.VLLM: "max-model-len", EngineName.TRTLLM: "max-seq-len"}


def plan_request(spec: InferenceDeploymentSpec, profile: ModelProfile) -> PlanRequest | tuple[FieldProblem, ...]:
    """Resolve defaults and pins; problems come sorted by field, each with what to do about it."""
    problems = tuple(sorted(_problems(spec, profile)))
    if problems:
        return problems
    objective, placement = spec.objective, spec.placement
    return PlanRequest(
        model=profile,
        engine=spec.engine.name,
        engine_version=engine_version(spec.engine),
        quantization=spec.model.quantization,
        engine_args=engine_options(spec.engine),
        priority=objective.priority,
        context_length=objective.context_length or _context_option(spec.engine),
        concurrency=objective.concurrency,
        typical_prompt_tokens=objective.typical_prompt_tokens or DEFAULT_PROMPT_TOKENS,
        typical_output_tokens=objective.typical_output_tokens or DEFAULT_OUTPUT_TOKENS,
        pins=layout_pins(spec.layout),
        replicas=spec.replicas,
        max_replicas=spec.autoscaling.max_replicas if spec.autoscaling else None,
        max_gpus=placement.max_gpus,
        fill_free_gpus=placement.fill_free_gpus,
        node_selector=tuple(sorted((placement.node_selector or {}).items())),
        tolerations=tuple(placement.tolerations or ()),
        gpu_products=tuple(placement.gpu_products or ()),
        gpu_prices_micro=tuple(sorted((k, price_micro(v)) for k, v in (placement.gpu_prices or {}).items())),
        allow_mixed_products=placement.allow_mixed_products,
        cross_islands=placement.cross_islands,
    )


def engine_version(engine: EngineSpec) -> str:
    """Version whose facts are used: the spec's, else the default of that engine."""
    return engine.version or DEFAULT_ENGINE_VERSIONS[engine.name]


def engine_options(engine: EngineSpec) -> tuple[tuple[str, str], ...]:
    """Give the user's engine options, sorted by name, in the engine's longest spelling with dashes."""
    known = option_table(engine.name, engine_version(engine)).options
    given = ((name.lstrip("-").replace("_", "-"), value) for name, value in (engine.args or {}).items())
    return tuple(
        sorted((known[name].name.replace("_", "-") if name in known else name, value) for name, value in given)
    )


def layout_pins(layout: LayoutSpec) -> LayoutPins:
    """Read what the user fixed: absent, 0 and Auto all mean derived."""
    expert = {ExpertParallelism.ENABLED: True, ExpertParallelism.DISABLED: False}.get(layout.expert)
    return LayoutPins(
        tensor=layout.tensor or None,
        pipeline=layout.pipeline or None,
        data=layout.data or None,
        expert=expert,
        nodes_per_replica=layout.nodes_per_replica or None,
    )


def price_micro(text: str) -> int:
    """Read a decimal price as millionths; digits beyond the sixth decimal are cut."""
    whole, _, decimals = text.partition(".")
    return int(whole) * 1_000_000 + int((decimals + "000000")[:6])


def read_tokens(text: str) -> int | None:
    """Read a token count as engines do (`32768`, `32k` = 32,000, `32K` = 32,768); None where it is not one."""
    factor = {"k": 1000, "K": 1024, "m": 1000**2, "M": 1024**2}.get(text[-1:], 1)
    digits = text if factor == 1 else text[:-1]
    return int(digits) * factor if digits.isascii() and digits.isdigit() and int(digits) > 0 else None


def _context_option(engine: EngineSpec) -> int | None:
    value = dict(engine_options(engine)).get(_CONTEXT_OPTION[engine.name])
    return read_tokens(value) if value else None


def _problems(spec: InferenceDeploymentSpec, profile: ModelProfile) -> Iterator[FieldProblem]:
    yield from _layout_problems(spec, profile)
    yield from _context_problems(spec, profile)


def _layout_problems(spec: InferenceDeploymentSpec, profile: ModelProfile) -> Iterator[FieldProblem]:
    pins = layout_pins(spec.layout)
    if not profile.is_mixture_of_experts:
        if (pins.data or 1) > 1:
            message = f"{profile.id} has no experts, so its data-parallel copies are independent: use replicas instead"
            yield FieldProblem("spec.layout.data", Reason.NOT_A_MIXTURE_OF_EXPERTS, message)
        if pins.expert:
            message = f"{profile.id} has no experts to spread: remove it or set Auto"
            yield FieldProblem("spec.layout.expert", Reason.NOT_A_MIXTURE_OF_EXPERTS, message)
    if spec.engine.name is EngineName.TRTLLM and (pins.data or 1) > 1 and (pins.tensor or 1) > 1:
        message = "TensorRT-LLM's attention data parallelism replaces tensor parallelism: pin tensor to 1, or data to 1"
        yield FieldProblem("spec.layout.data", Reason.SPEC_INVALID, message)
    if pins.pipeline and pins.pipeline > profile.num_layers > 0:
        message = f"{profile.id} has {profile.num_layers} layers, too few for {pins.pipeline} stages: lower it"
        yield FieldProblem("spec.layout.pipeline", Reason.TOO_FEW_LAYERS, message)


def _context_problems(spec: InferenceDeploymentSpec, profile: ModelProfile) -> Iterator[FieldProblem]:
    option = _context_option(spec.engine)
    asked = spec.objective.context_length
    name = _CONTEXT_OPTION[spec.engine.name]
    if asked and option and asked != option:
        message = f"{option} here and {asked} in spec.objective.contextLength: keep one of them"
        yield FieldProblem(f'spec.engine.args["{name}"]', Reason.SPEC_INVALID, message)
    longest = profile.max_context_length
    if (asked or option or 0) > longest > 0 and not _long_context_allowed(spec):
        field = "spec.objective.contextLength" if asked else f'spec.engine.args["{name}"]'
        message = f"{asked or option} tokens, but {profile.id} was made for {longest}: ask for at most that"
        yield FieldProblem(field, Reason.CONTEXT_TOO_LONG, message)


def _long_context_allowed(spec: InferenceDeploymentSpec) -> bool:
    """Read the engine's own switch for users who know that their model stretches further than its config says."""
    return any(v.name == "VLLM_ALLOW_LONG_MAX_MODEL_LEN" and v.value == "1" for v in spec.engine.env or ())
