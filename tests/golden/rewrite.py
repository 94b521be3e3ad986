"""Rewrite the golden files: `make golden`. Review the difference like code, for it is what users' clusters will get."""

import json
import sys

from golden.cases import CASES, COMMANDS, FOLDER, text_of
from golden.commands import command_lines
from golden.rewrite_plans import main as rewrite_plans


def main() -> None:
    """Write each case's manifests and all command lines; files of cases that are gone are removed."""
    FOLDER.mkdir(exist_ok=True)
    for stale in FOLDER.glob("*.yaml"):
        if stale.stem not in {case.name for case in CASES}:
            stale.unlink()
    for case in CASES:
        (FOLDER / f"{case.name}.yaml").write_text(text_of(case), encoding="utf-8")
    COMMANDS.write_text(commands_text(), encoding="utf-8")
    print(f"{len(CASES)} cases in {FOLDER}", file=sys.stderr)


def commands_text() -> str:
    """One line of JSON for each pod's command line, for parsers that are not ours to import."""
    rows = [
        {"case": case.name, "pod": pod, "experts": case.experts, "argv": argv}
        for case in CASES
        for pod, argv in enumerate(command_lines(case))
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    main()
    rewrite_plans()
