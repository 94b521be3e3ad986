#!/usr/bin/env python3
"""Asks an OpenAI-compatible server with the openai client: one question, or many at a time for a while.

    ask BASE_URL MODEL [QUESTION] [--stream]
    ask BASE_URL MODEL --load 12 --seconds 60 --tokens 64

One question prints its answer; a load prints one line of JSON with counts. Status 1 when any request failed.
"""

import argparse
import asyncio
import json
import sys
import time

import openai


async def one(client: openai.AsyncOpenAI, asked: argparse.Namespace) -> None:
    """Ask and print."""
    message = {"role": "user", "content": asked.question}
    if not asked.stream:
        answer = await client.chat.completions.create(model=asked.model, messages=[message], max_tokens=asked.tokens)
        print(answer.choices[0].message.content)
        return
    stream = await client.chat.completions.create(
        model=asked.model, messages=[message], max_tokens=asked.tokens, stream=True
    )
    async for chunk in stream:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
    print()


async def load(client: openai.AsyncOpenAI, asked: argparse.Namespace) -> dict[str, int]:
    """Keep `asked.load` requests in flight for `asked.seconds`."""
    counts = {"answered": 0, "failed": 0}
    end = time.monotonic() + asked.seconds
    message = {"role": "user", "content": asked.question}

    async def worker() -> None:
        while time.monotonic() < end:
            try:
                await client.chat.completions.create(
                    model=asked.model, messages=[message], max_tokens=asked.tokens, extra_body={"ignore_eos": True}
                )
                counts["answered"] += 1
            except openai.OpenAIError as failed:
                counts["failed"] += 1
                print(f"{type(failed).__name__}: {failed}", file=sys.stderr)
                await asyncio.sleep(0.5)

    await asyncio.gather(*(worker() for _ in range(asked.load)))
    return counts


async def main() -> int:
    """Read the command line and ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base_url")
    parser.add_argument("model")
    parser.add_argument("question", nargs="?", default="Who are you?")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--timeout", type=float, default=60, help="seconds for one request")
    parser.add_argument("--load", type=int, default=0, help="requests in flight")
    parser.add_argument("--seconds", type=float, default=30)
    asked = parser.parse_args()
    client = openai.AsyncOpenAI(base_url=asked.base_url, api_key="none", timeout=asked.timeout, max_retries=0)
    if not asked.load:
        await one(client, asked)
        return 0
    counts = await load(client, asked)
    print(json.dumps(counts))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
