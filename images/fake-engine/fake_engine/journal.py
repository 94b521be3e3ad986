"""Log lines in the engines' own shape, on standard error."""

import logging
import sys


def journal(component: str) -> logging.Logger:
    """A logger whose lines look like vLLM's: level, time, component."""
    log = logging.getLogger(f"fake-engine.{component}")
    if not log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(
            logging.Formatter(f"({component}) %(levelname)s %(asctime)s %(message)s", "%m-%d %H:%M:%S")
        )
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
    return log
