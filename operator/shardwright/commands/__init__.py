"""The command line, one file per command, each a thin face on the operator's own code."""

import sys
from importlib import import_module

import typer

COMMANDS = {
    "run": "Run the operator (KUBECONFIG or a pod's service account).",
    "plan": "Plan an InferenceDeployment and say why, without touching a cluster.",
    "render": "Print the objects that a plan becomes.",
    "estimate": "Forecast the memory of one layout on one GPU product.",
    "inspect-model": "Print what planning knows of a model.",
    "topology": "Read islands and links from nvidia-smi, rocm-smi or amd-smi output.",
    "annotate-node": "Write this node's links as annotations on its Node object (for a DaemonSet).",
    "crd": "Print the CustomResourceDefinition.",
}
"""Name and help of each; the function `command` of `commands/inspect_model.py` is the command `inspect-model`."""


def application() -> typer.Typer:
    """The typer application; only the module of the command that is asked for is imported."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Plan and run LLM inference on the GPUs you have.",
    )
    wanted = next((word for word in sys.argv[1:] if word in COMMANDS), None)
    for name, text in COMMANDS.items():
        module = f"shardwright.commands.{name.replace('-', '_')}"
        app.command(name, help=text)(import_module(module).command if name == wanted else _absent)
    return app


def _absent() -> None:
    """Stand for a command that was not asked for, in the list of commands."""
