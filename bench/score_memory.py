"""How far the memory forecast is from start-up logs; the figures stand in docs/memory.md.

Run `python bench/score_memory.py`.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "operator"), str(ROOT / "tests")]

from shardwright.commands.estimate_requests import answer
from support import memory_scores


def main() -> None:
    """Print one line per figure, then the verdicts."""
    reached = memory_scores.score(memory_scores.records())
    print(f"{'figure':28}{'n':>5}{'median':>9}{'p90':>9}{'p95':>9}{'worst':>9}")
    for figure, errors in reached.errors.items():
        cells = (reached.median(figure), reached.quantile(figure, 0.9), reached.quantile(figure, 0.95), max(errors))
        print(f"{figure:28}{len(errors):5}" + "".join(f"{100 * value:8.2f}%" for value in cells))
    print(f"{reached.judged} verdicts: false fits {reached.false_fits}, false refusals {reached.false_refusals}")
    asked = memory_scores.layouts()
    refused = [q["id"] for q in asked if not answer(q).get("fits")]
    accepted = [q["id"] for q in asked if answer(memory_scores.hopeless(q)).get("fits")]
    print(f"{len(asked)} published layouts: refused {refused}; on GPUs of 1 GiB accepted {accepted}")


if __name__ == "__main__":
    main()
