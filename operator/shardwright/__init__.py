"""Shardwright: derives the layout of an LLM deployment from the GPUs and links a cluster has, and keeps it alive."""

__version__ = "0.1.0"
