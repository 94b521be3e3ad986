"""The audio tower of a model that hears, as matrices: a plain transformer from what its config states.

Knows no engine. Convolutions and exotic blocks are approximated; what a checkpoint's headers say corrects the sum.
"""

from shardwright.models.profile import Matrix, Part, Split
from shardwright.models.reader import ConfigReader, text_of
from shardwright.models.vision import first

SECTIONS = ("audio_config", "audio_encoder_config", "encoder_config", "sound_config")
MOST_LAYERS = 512


def audio_matrices(outer: ConfigReader, text_hidden: int) -> tuple[Matrix, ...]:
    """Blocks, positions and the projector into the language model; nothing for a model without such a tower."""
    reader = audio_reader(outer)
    if reader is None:
        return ()
    hidden = first(reader, "d_model", "hidden_size", "hidden_dim", "n_state")
    depth = min(MOST_LAYERS, first(reader, "encoder_layers", "num_hidden_layers", "num_layers", "n_layer"))
    if not hidden or not depth:
        outer.assume(f"{reader.where} does not state the size of its tower: the tower is not counted")
        return ()
    inner = first(reader, "encoder_ffn_dim", "intermediate_size") or hidden * (reader.stated("feedforward_mult") or 4)
    inputs = first(reader, "num_mel_bins", "input_dim", default=128)
    return (
        tower("audio.convolution", hidden, 3 * (inputs + hidden), 1),
        tower("audio.positions", first(reader, "max_source_positions", default=1500), hidden, 1),
        tower("audio.qkv", 3 * hidden, hidden, depth),
        tower("audio.proj", hidden, hidden, depth),
        tower("audio.mlp", inner, hidden, 2 * depth),
        tower("audio.projector", text_hidden, hidden, 1),
        tower("audio.projector", text_hidden, text_hidden, 1),
    )


def audio_reader(outer: ConfigReader) -> ConfigReader | None:
    """A reader of the audio part, one level down or the config itself (Whisper's encoder); None where there is none."""
    thinker = ConfigReader(outer.mapping("thinker_config"))
    for around in (outer, thinker):
        for key in SECTIONS:
            section = around.mapping(key)
            if section:
                return ConfigReader(section, text_of(section.get("model_type")), f"config.json {key}")
    return outer if outer.stated("encoder_layers") else None


def tower(name: str, rows: int, columns: int, count: int) -> Matrix:
    """Matrices that no quantisation method touches; engines keep such towers whole on every rank."""
    return Matrix(name, Part.VISION, rows, columns, Split.WHOLE, bias=True, count=count, quantizable=False)
