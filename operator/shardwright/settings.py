"""The operator's settings, read once from the environment.

Decides names, defaults and bounds; knows nothing that uses them.

Every variable is documented in docs/operations.md; a value that makes no sense stops the start with a sentence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shardwright.api.expected import ExpectedPool, ExpectedPoolsError, parse_expected


class SettingsError(ValueError):
    """An environment variable holds something that cannot be used; the text says which, what, and what to write."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set, with its unit in the name."""

    namespaces: tuple[str, ...] = ()
    """Namespaces to serve; empty = all."""
    own_namespace: str = "shardwright-system"
    """Where the operator itself runs: its certificate and its Events about itself go there."""
    workers: int = 32
    resync_seconds: float = 180
    key_interval_seconds: float = 0.1
    """Least time between two starts of the reconcile of one deployment."""
    child_debounce_seconds: float = 0.2
    inventory_debounce_seconds: float = 0.5
    first_retry_seconds: float = 0.25
    longest_retry_seconds: float = 300
    request_timeout_seconds: float = 30
    better_layout_seconds: float = 600
    bind_address: str = "0.0.0.0"
    health_port: int = 8080
    metrics_port: int = 9090
    external_metrics_port: int = 6443
    """0 = the external metrics API is not served."""
    external_metrics_service: str = ""
    """Name of the Service behind the APIService; empty = its CA is not kept up to date."""
    scrape_seconds: float = 5
    unreachable_seconds: int = 30
    """How long an engine pod tolerates a node that cannot be reached."""
    log_level: str = "INFO"
    log_format: str = "json"
    images: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Default image by (engine, GPU vendor); absent = the engine's public one."""
    grace_seconds: int = 90
    """terminationGracePeriodSeconds of engine pods whose spec says nothing."""
    pre_stop_seconds: int = 5
    hub: str = "https://huggingface.co"
    """Where models are looked up whose spec names no endpoint; empty = no hub is ever asked."""
    hub_timeout_seconds: float = 60
    """For a model's config, and again for the headers of its weight files."""
    hub_first_retry_seconds: float = 20
    """After a failure; doubled with each further one, up to half an hour."""
    facts_image: str = ""
    """Image of the Jobs that read models on volumes: the operator's own; empty = none is run."""
    cache_host_path: str = ""
    """Folder on every node for downloads and compiled kernels; empty = they go with the pod."""
    expected_pools: tuple[ExpectedPool, ...] = ()
    """Nodes that do not exist yet and that an autoscaler may add."""


PREFIX = "SHARDWRIGHT_"
_NUMBERS: Mapping[str, tuple[str, float, float]] = {
    "WORKERS": ("workers", 1, 256),
    "RESYNC_SECONDS": ("resync_seconds", 1, 86_400),
    "KEY_INTERVAL_SECONDS": ("key_interval_seconds", 0, 60),
    "CHILD_DEBOUNCE_SECONDS": ("child_debounce_seconds", 0, 60),
    "INVENTORY_DEBOUNCE_SECONDS": ("inventory_debounce_seconds", 0, 60),
    "FIRST_RETRY_SECONDS": ("first_retry_seconds", 0.01, 60),
    "LONGEST_RETRY_SECONDS": ("longest_retry_seconds", 1, 3600),
    "HUB_TIMEOUT_SECONDS": ("hub_timeout_seconds", 1, 3600),
    "HUB_FIRST_RETRY_SECONDS": ("hub_first_retry_seconds", 0.1, 1800),
    "REQUEST_TIMEOUT_SECONDS": ("request_timeout_seconds", 1, 600),
    "BETTER_LAYOUT_SECONDS": ("better_layout_seconds", 10, 86_400),
    "HEALTH_PORT": ("health_port", 0, 65_535),
    "METRICS_PORT": ("metrics_port", 0, 65_535),
    "EXTERNAL_METRICS_PORT": ("external_metrics_port", 0, 65_535),
    "SCRAPE_SECONDS": ("scrape_seconds", 0.5, 300),
    "UNREACHABLE_SECONDS": ("unreachable_seconds", 0, 86_400),
    "GRACE_SECONDS": ("grace_seconds", 0, 86_400),
    "PRE_STOP_SECONDS": ("pre_stop_seconds", 0, 3600),
}
_TEXTS: Mapping[str, str] = {
    "OWN_NAMESPACE": "own_namespace",
    "BIND_ADDRESS": "bind_address",
    "CACHE_HOST_PATH": "cache_host_path",
    "FACTS_IMAGE": "facts_image",
    "EXTERNAL_METRICS_SERVICE": "external_metrics_service",
}
_INTEGERS = frozenset({
    "workers", "health_port", "metrics_port", "external_metrics_port", "unreachable_seconds", "grace_seconds",
    "pre_stop_seconds",
})  # fmt: skip
_CHOICES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "LOG_LEVEL": ("log_level", ("DEBUG", "INFO", "WARNING", "ERROR")),
    "LOG_FORMAT": ("log_format", ("json", "text")),
}
_ENGINES = ("vllm", "trtllm")
_VENDORS = ("nvidia", "amd", "intel")


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Settings from variables that start with `SHARDWRIGHT_`; absent or empty ones keep their default.

    Raises SettingsError on a value that cannot be used.
    """
    values: dict[str, object] = {}
    for name, (attribute, least, most) in _NUMBERS.items():
        if text := environment.get(PREFIX + name):
            values[attribute] = _number(PREFIX + name, text, least, most, whole=attribute in _INTEGERS)
    for name, attribute in _TEXTS.items():
        if text := environment.get(PREFIX + name):
            values[attribute] = text
    for name, (attribute, choices) in _CHOICES.items():
        if text := environment.get(PREFIX + name):
            values[attribute] = _choice(PREFIX + name, text, choices)
    if text := environment.get(PREFIX + "NAMESPACES"):
        values["namespaces"] = tuple(sorted({part.strip() for part in text.split(",") if part.strip()}))
    if text := environment.get(PREFIX + "HUB"):
        values["hub"] = _hub(PREFIX + "HUB", text)
    if text := environment.get(PREFIX + "EXPECTED_POOLS"):
        values["expected_pools"] = _expected(PREFIX + "EXPECTED_POOLS", text)
    values["images"] = _images(environment)
    return Settings(**values)  # type: ignore[arg-type]


def _number(name: str, text: str, least: float, most: float, *, whole: bool) -> float:
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        kind = "a whole number" if whole else "a number"
        raise SettingsError(f"{name}={text!r} is not {kind}; write one between {least:g} and {most:g}") from None
    if not least <= value <= most:
        raise SettingsError(f"{name}={text} is out of range; write a number between {least:g} and {most:g}")
    return value


def _choice(name: str, text: str, choices: tuple[str, ...]) -> str:
    for choice in choices:
        if text.lower() == choice.lower():
            return choice
    raise SettingsError(f"{name}={text!r} is not one of {', '.join(choices)}")


def _hub(name: str, text: str) -> str:
    if text.lower() in {"off", "false"}:
        return ""
    if not text.startswith(("http://", "https://")) or any(letter.isspace() for letter in text):
        raise SettingsError(f"{name}={text!r} is neither an http(s) address nor off")
    return text.rstrip("/")


def _expected(name: str, text: str) -> tuple[ExpectedPool, ...]:
    """A JSON list, as the chart writes it from its value `expectedPools`."""
    try:
        return parse_expected(text)
    except ExpectedPoolsError as error:
        raise SettingsError(f"{name}: {error}") from error


def _images(environment: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """`SHARDWRIGHT_IMAGE_<ENGINE>_<VENDOR>`, for example SHARDWRIGHT_IMAGE_VLLM_NVIDIA."""
    found = {}
    for engine in _ENGINES:
        for vendor in _VENDORS:
            if image := environment.get(f"{PREFIX}IMAGE_{engine.upper()}_{vendor.upper()}"):
                found[(engine, vendor)] = image
    return found
