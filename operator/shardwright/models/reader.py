"""Typed, tolerant access to a config.json: one place for aliases of a key, class defaults and stated assumptions.

Knows the shape of config files and nothing about what their numbers mean.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from shardwright.api.reasons import Reason
from shardwright.catalog.model_rows import class_defaults
from shardwright.models.errors import UnreadableModel

LARGEST = 1 << 40
"""No count in a config is larger; what is, is damage."""

ALIASES: Mapping[str, tuple[str, ...]] = {
    "num_hidden_layers": ("n_layer", "num_layers", "n_layers"),
    "hidden_size": ("d_model", "n_embd", "model_dim"),
    "num_attention_heads": ("n_head", "n_heads", "num_heads", "decoder_attention_heads"),
    "num_key_value_heads": ("num_kv_heads", "n_head_kv", "kv_n_heads"),
    "intermediate_size": ("ffn_hidden_size", "n_inner", "ffn_dim"),
    "vocab_size": ("padded_vocab_size", "n_vocab"),
    "max_position_embeddings": (
        "seq_length",
        "n_positions",
        "max_seq_len",
        "max_sequence_length",
        "n_ctx",
        "model_max_length",
        "max_target_positions",
    ),
    "head_dim": ("kv_channels", "attention_head_dim", "attention_hidden_size_per_head"),
    "num_experts": ("num_local_experts", "n_routed_experts", "moe_num_experts"),
    "num_experts_per_tok": ("num_experts_per_token", "top_k_experts", "moe_topk", "moe_top_k", "moe_k"),
    "moe_intermediate_size": ("expert_intermediate_size", "moe_ffn_hidden_size", "expert_ffn_hidden_size"),
    "num_shared_experts": ("n_shared_experts", "moe_num_shared_experts"),
    "shared_expert_intermediate_size": (
        "moe_shared_expert_intermediate_size",
        "shared_intermediate_size",
        "share_expert_dim",
    ),
    "torch_dtype": ("dtype",),
    "num_nextn_predict_layers": ("mtp_num_hidden_layers", "num_mtp_modules"),
}
NESTED = ("text_config", "llm_config", "language_config", "text_model", "thinker_config", "llm", "decoder")
FOLDED = ("attn_config", "ffn_config")
"""Sub-objects whose keys belong to the model itself (DBRX, MPT)."""


class ConfigReader:
    """Reads one (nested) config; collects the assumptions it had to make."""

    def __init__(self, config: Mapping[str, Any], model_type: str = "", where: str = "config.json") -> None:
        self.config = config
        self.where = where
        self.model_type = model_type or text_of(config.get("model_type"))
        self.defaults = class_defaults().get(self.model_type, {})
        self.assumptions: list[str] = []

    def raw(self, key: str) -> Any:  # any JSON
        """The value under the key or one of its aliases; None when absent."""
        for name in (key, *ALIASES.get(key, ())):
            if self.config.get(name) is not None:
                return self.config[name]
            for fold in FOLDED:
                inner = self.config.get(fold)
                if isinstance(inner, Mapping) and inner.get(name) is not None:
                    return inner[name]
        return None

    def class_default(self, key: str) -> Any:  # any JSON
        """What the configuration class of this model_type assumes; None when it says nothing."""
        for name in (key, *ALIASES.get(key, ())):
            if self.defaults.get(name) is not None:
                return self.defaults[name]
        return None

    def integer(self, key: str, default: int | None = None) -> int:
        """A non-negative integer.

        From the class default (an assumption), else `default`, else an error that names the key.
        """
        value = self.raw(key)
        if value is None:
            value = self.class_default(key)
            if value is not None and (default is None or value != default):
                self.assume(f"{key} = {value}: the config omits it, the default of {self.model_type!r} is used")
        if value is None:
            value = default
        if value is None:
            raise UnreadableModel(Reason.UNKNOWN_MODEL, f"{self.where} has no {key!r}: give a complete config.json")
        return checked_integer(value, key, self.where)

    def stated(self, key: str, default: int = 0) -> int:
        """An integer if the config states it, else `default`: class defaults do not count."""
        value = self.raw(key)
        return default if value is None else checked_integer(value, key, self.where)

    def given(self, key: str, default: int = 0) -> int:
        """As stated, else the class default if the config omits the key; null states that there is none."""
        if self.raw(key) is None and any(name in self.config for name in (key, *ALIASES.get(key, ()))):
            return default
        return self.integer(key, default)

    def positive(self, key: str, default: int | None = None) -> int:
        """As `integer`, at least 1."""
        value = self.integer(key, default)
        if value < 1:
            raise UnreadableModel(Reason.UNKNOWN_MODEL, f"{self.where}: {key} is {value}, it must be at least 1")
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """A boolean, with the class default."""
        value = self.raw(key)
        if value is None:
            value = self.class_default(key)
        return default if value is None else bool(value)

    def text(self, key: str) -> str:
        """A word, empty when absent."""
        return text_of(self.raw(key))

    def items(self, key: str) -> Sequence[Any]:
        """A list, empty when absent or something else."""
        value = self.raw(key)
        return value if isinstance(value, list | tuple) else ()

    def mapping(self, key: str) -> Mapping[str, Any]:
        """A sub-object, empty when absent or something else."""
        value = self.config.get(key)
        return value if isinstance(value, Mapping) else {}

    def assume(self, sentence: str) -> None:
        """State an assumption, once."""
        if sentence not in self.assumptions:
            self.assumptions.append(sentence)


def text_of(value: object) -> str:
    """The value if it is a string, else nothing."""
    return value if isinstance(value, str) else ""


def checked_integer(value: object, key: str, where: str) -> int:
    """The value as a non-negative integer within reason. Raises `UnreadableModel`."""
    if isinstance(value, list | tuple) and value:
        value = value[0]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise UnreadableModel(Reason.UNKNOWN_MODEL, f"{where}: {key} is {value!r}, expected a whole number")
    if not 0 <= value <= LARGEST:
        raise UnreadableModel(Reason.UNKNOWN_MODEL, f"{where}: {key} is {value}, which no model has")
    return value


def text_reader(config: Mapping[str, Any]) -> ConfigReader:
    """A reader of the language model's own part of a config.

    Raises `UnreadableModel` for something that is no config.
    """
    if not isinstance(config, Mapping):
        raise UnreadableModel(Reason.UNKNOWN_MODEL, f"config.json holds {type(config).__name__}, expected an object")
    outer_type = text_of(config.get("model_type"))
    for key in NESTED:
        inner = config.get(key)
        if isinstance(inner, Mapping) and inner:
            deeper = next((inner[k] for k in NESTED if isinstance(inner.get(k), Mapping)), inner)
            return ConfigReader(
                deeper, text_of(deeper.get("model_type")) or text_class(outer_type), f"config.json {key}"
            )
    return ConfigReader(config, text_class(outer_type), "config.json")


def text_class(model_type: str) -> str:
    """The model_type of the language model inside a multimodal one, by its class; else the same."""
    inner = class_defaults().get(model_type, {}).get("text_config")
    return inner if isinstance(inner, str) else model_type
