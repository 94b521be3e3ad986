"""The `shardwright` command: one line per command; each is imported only when it is run."""

from shardwright.commands import application


def main() -> None:
    """Run the command line."""
    application()()


if __name__ == "__main__":
    main()
