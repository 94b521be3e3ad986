"""`shardwright crd`: the CustomResourceDefinition, or its fields as a page."""

from enum import StrEnum
from typing import Annotated

import typer

from shardwright.api.crd import crd_yaml
from shardwright.api.reference import reference_markdown


class Form(StrEnum):
    """What to print."""

    YAML = "yaml"
    REFERENCE = "reference"


def command(
    output: Annotated[Form, typer.Option("--output", "-o", help="yaml to apply, reference to read.")] = Form.YAML,
) -> None:
    """Print the CustomResourceDefinition, ready for `kubectl apply --server-side -f -`."""
    typer.echo(crd_yaml() if output is Form.YAML else reference_markdown(), nl=False)
