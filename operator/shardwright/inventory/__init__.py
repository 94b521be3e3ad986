"""Nodes and pods become pools with free GPUs; odd nodes get a reason. Labels are parsed here and nowhere else."""

from shardwright.inventory.expected import Expectation, is_expected, read_expected, with_expected
from shardwright.inventory.nodes import read_node
from shardwright.inventory.pods import read_usage
from shardwright.inventory.pools import build_inventory
from shardwright.inventory.quotas import PodAsk, PodClass, Quota, read_ask, read_quota
from shardwright.inventory.types import (
    Inventory,
    Islands,
    NodeFacts,
    PodUsage,
    Pool,
    PoolNode,
    Promise,
    SkippedNode,
)

__all__ = [
    "Expectation",
    "Inventory",
    "Islands",
    "NodeFacts",
    "PodAsk",
    "PodClass",
    "PodUsage",
    "Pool",
    "PoolNode",
    "Promise",
    "Quota",
    "SkippedNode",
    "build_inventory",
    "is_expected",
    "read_ask",
    "read_expected",
    "read_node",
    "read_quota",
    "read_usage",
    "with_expected",
]
