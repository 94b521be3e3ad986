"""Settings from the environment: names, bounds, and a sentence for what cannot be used."""

from __future__ import annotations

import pytest

from shardwright.settings import Settings, SettingsError, from_environment


def test_nothing_set_means_the_defaults() -> None:
    assert from_environment({}) == Settings()


def test_each_kind_of_value() -> None:
    settings = from_environment({
        "SHARDWRIGHT_NAMESPACES": "b, a,,a", "SHARDWRIGHT_WORKERS": "4", "SHARDWRIGHT_RESYNC_SECONDS": "2.5",
        "SHARDWRIGHT_LOG_LEVEL": "debug", "SHARDWRIGHT_IMAGE_VLLM_AMD": "x/y:z", "SHARDWRIGHT_HEALTH_PORT": "",
    })  # fmt: skip
    assert settings.namespaces == ("a", "b")
    assert (settings.workers, settings.resync_seconds, settings.log_level) == (4, 2.5, "DEBUG")
    assert settings.images == {("vllm", "amd"): "x/y:z"}
    assert settings.health_port == Settings().health_port


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SHARDWRIGHT_WORKERS", "many"),
        ("SHARDWRIGHT_WORKERS", "0"),
        ("SHARDWRIGHT_WORKERS", "2.5"),
        ("SHARDWRIGHT_LOG_FORMAT", "xml"),
    ],
)
def test_nonsense_is_named(name: str, text: str) -> None:
    with pytest.raises(SettingsError) as said:
        from_environment({name: text})
    assert name in str(said.value) and text in str(said.value)
