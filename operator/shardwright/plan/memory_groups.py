"""Which layers share a block table.

The groups into which the engine sorts the caches of a model, so that they share one pool.

Follows vLLM 0.32.0, v1/core/kv_cache_utils.py: equal kinds together, all groups of about as many layers as the rarest
kind has, all pages of one size; models that pack unlike pages into one block have a rule of their own. Knows no
amount of memory.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from shardwright.models.profile import CacheKind
from shardwright.plan.memory_pages import FULL_KINDS, Page
from shardwright.plan.memory_weights import share

WINDOWED = frozenset({CacheKind.SLIDING, CacheKind.CHUNKED, CacheKind.LATENT_SLIDING})


@dataclass(frozen=True, slots=True)
class Group:
    """Layers that share a block table."""

    page: Page
    layers: tuple[int, ...]
    """Indexes into the list of pages."""
    page_bytes: tuple[int, ...]
    """Of each layer."""


def group_of(pages: Sequence[Page], members: Sequence[int]) -> Group:
    """A group of these pages."""
    return Group(pages[members[0]], tuple(members), tuple(pages[m].page_bytes for m in members))


def make_groups(pages: Sequence[Page]) -> tuple[Group, ...]:
    """All groups of a model."""
    buckets: dict[tuple[CacheKind, int, int], list[int]] = {}
    for index, page in enumerate(pages):
        kind = CacheKind.FULL if page.kind in FULL_KINDS else page.kind
        buckets.setdefault((kind, page.window, page.tokens), []).append(index)
    if len(buckets) < 2:
        return tuple(group_of(pages, rows) for rows in buckets.values())
    if all(page.packs for page in pages):
        return packed_groups(pages, list(buckets.values()))
    return even_groups(unified(pages), list(buckets.values()))


def even_groups(pages: Sequence[Page], buckets: list[list[int]]) -> tuple[Group, ...]:
    """Each bucket in parts as large as the smallest bucket, or as the largest where they differ by less than half."""
    counts = [len(rows) for rows in buckets]
    size = max(counts) if 2 * max(counts) < 3 * min(counts) else min(counts)
    parts = ((rows, share(len(rows), size)) for rows in buckets)
    return tuple(group_of(pages, rows[start::number]) for rows, number in parts for start in range(number))


def unified(pages: Sequence[Page]) -> list[Page]:
    """All pages at the largest size: smaller ones hold more tokens where they divide it, else are padded."""
    largest = max(page.page_bytes for page in pages)
    return [widened(page, largest) for page in pages]


def widened(page: Page, size: int) -> Page:
    """A page at a larger size."""
    divides = page.kind is not CacheKind.STATE and page.page_bytes > 0 and size % page.page_bytes == 0
    return replace(page, tokens=page.tokens * (size // page.page_bytes) if divides else page.tokens, page_bytes=size)


def promoted(pages: Sequence[Page]) -> list[Page]:
    """Without groups every windowed layer counts as full attention."""
    return [replace(p, kind=CacheKind.FULL, window=0) if p.kind in WINDOWED else p for p in pages]


def packed_groups(pages: Sequence[Page], buckets: list[list[int]]) -> tuple[Group, ...]:
    """Groups whose pages of unlike sizes lie side by side.

    Buckets of a repeating pattern are cut into equal repeats.
    """
    counted = [Counter(pages[m].page_bytes for m in rows) for rows in buckets]
    balanced = [len(set(sizes.values())) == 1 for sizes in counted]
    floor = max((max(s.values()) for s, b in zip(counted, balanced, strict=True) if b and len(s) > 1), default=0)
    repeats = [max(s.values()) for s, b in zip(counted, balanced, strict=True) if b]
    per_group = least_padding(repeats, floor) if floor and repeats else 0
    groups = []
    for rows, sizes, even in zip(buckets, counted, balanced, strict=True):
        number = share(max(sizes.values()), per_group) if even and per_group else 1
        by_size = [[m for m in rows if pages[m].page_bytes == size] for size in sizes]
        groups += [group_of(pages, [m for same in by_size for m in same[n::number]]) for n in range(number)]
    return tuple(groups)


def least_padding(values: list[int], floor: int) -> int:
    """The group size from `floor` on that wastes the fewest places; the larger of equals."""
    sizes = range(max(1, floor), max(values) + 1)
    return min(sizes, key=lambda size: (sum(-value % size for value in values), -size), default=max(1, floor))
