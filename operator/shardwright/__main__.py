"""The `shardwright` command: one line per command; each is imported only when it is run."""

import sys

from shardwright.commands import application
from shardwright.commands.guard import guarded


def main() -> None:
    """Run the command line."""
    if "run" in sys.argv[1:2]:
        _command()
    else:
        guarded(_command)


def _command() -> None:
    application()()


if __name__ == "__main__":
    main()
