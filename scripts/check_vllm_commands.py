"""Judge our golden command lines by vLLM itself: parser, serve-time checks, and the engine configuration's checks.

    python scripts/check_vllm_commands.py tests/golden/commands.jsonl DENSE_MODEL MOE_MODEL

Run with the Python of an environment that has vLLM (`make vllm-contract` does). The model of each command is replaced
by one of two local folders that need only a config.json, because what is judged is the command line. Prints one line of
JSON for each command, and exits with 1 when vLLM refuses one.
"""

import json
import sys
from pathlib import Path

from vllm import AsyncEngineArgs, __version__
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.usage.usage_lib import UsageContext
from vllm.utils.argparse_utils import FlexibleArgumentParser

REPLACED = ("--quantization=", "--revision=", "--kv-cache-dtype=")
"""Judged by the parser alone: what they ask for depends on the model's files or on the device of this machine."""


def judge(argv: list[str], model: str) -> str:
    """Return vLLM's objection, or nothing."""
    parser = make_arg_parser(FlexibleArgumentParser(prog="vllm serve"))
    try:
        validate_parsed_serve_args(parser.parse_args(argv[2:]))
        words = [model, *(word for word in argv[3:] if not word.startswith(REPLACED))]
        args = parser.parse_args([*words, "--skip-tokenizer-init", "--dtype=float32"])
        args.model = args.model_tag
        if args.headless and args.api_server_count:
            return "--api-server-count cannot be used with --headless"
        engine = AsyncEngineArgs.from_cli_args(args)
        engine.create_engine_config(usage_context=UsageContext.OPENAI_API_SERVER, headless=args.headless)
    except SystemExit as ended:
        return f"the parser ended with {ended.code}"
    except Exception as error:  # whatever it is, vLLM would not have started
        return f"{type(error).__name__}: {error}"
    return ""


def main() -> int:
    """Judge each line of an engine of ours that is vLLM."""
    commands, dense, experts = sys.argv[1:4]
    refused = 0
    for line in Path(commands).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["argv"][0] != "vllm":
            continue
        objection = judge(row["argv"], experts if row["experts"] else dense)
        refused += bool(objection)
        verdict = {"case": row["case"], "pod": row["pod"], "objection": objection}
        sys.stdout.write(json.dumps(verdict) + "\n")
    sys.stderr.write(f"vllm {__version__}: {refused} refused\n")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
