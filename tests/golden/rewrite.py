"""Rewrite the golden manifests: `make golden`. Review the difference like code, for it is what users' clusters will get."""

import sys

from golden.cases import CASES, FOLDER, text_of


def main() -> None:
    """Write each case's file; files of cases that are gone are removed."""
    FOLDER.mkdir(exist_ok=True)
    for stale in FOLDER.glob("*.yaml"):
        if stale.stem not in {case.name for case in CASES}:
            stale.unlink()
    for case in CASES:
        (FOLDER / f"{case.name}.yaml").write_text(text_of(case), encoding="utf-8")
    print(f"{len(CASES)} files in {FOLDER}", file=sys.stderr)


if __name__ == "__main__":
    main()
