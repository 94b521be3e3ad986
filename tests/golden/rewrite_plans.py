"""Rewrite the decisions of the golden plans: `make golden`. Review the difference like code."""

import sys

from golden.plan_cases import FOLDER, decision, names


def main() -> None:
    """Write each case's decision; decisions of cases that are gone are removed."""
    for stale in FOLDER.glob("*.txt"):
        if stale.stem not in names():
            stale.unlink()
    for name in names():
        (FOLDER / f"{name}.txt").write_text(decision(name), "utf-8")
    print(f"{len(names())} plans in {FOLDER}", file=sys.stderr)


if __name__ == "__main__":
    main()
