"""Memory of captured CUDA graphs, as the engine's own estimate sees it."""

from shardwright.models.profile import ModelProfile
from shardwright.plan.memory_versions import VersionFacts
from shardwright.plan.types import Layout

LARGEST_CAPTURE = 512


def capture_sizes(sequences: int) -> int:
    """How many batch sizes are captured.

    1, 2, 4, then every 8 to 256, then every 16, up to twice the sequences or 512.
    """
    largest = min(2 * sequences, LARGEST_CAPTURE)
    small = sum(1 for size in (1, 2, 4) if size <= largest)
    return small + min(largest, 255) // 8 + max(0, (largest - 256) // 16 + 1 if largest >= 256 else 0)


def graph_bytes(profile: ModelProfile, layout: Layout, facts: VersionFacts, sequences: int) -> int:
    """Bytes of all captured graphs on one rank."""
    layers = -(-profile.num_layers // layout.pipeline)
    return capture_sizes(sequences) * layers * facts.graph_bytes
