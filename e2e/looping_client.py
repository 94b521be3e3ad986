#!/usr/bin/env python3
"""Asks one question after the other, each on a connection of its own, and writes a line for every request.

    looping_client.py HOST PORT MODEL EXPECTED [WORKERS] [PAUSE_SECONDS] [TIMEOUT_SECONDS]

A line is `STARTED SECONDS OUTCOME DETAIL`: when it was asked (Unix time), how long it took, and how it ended:

    answered   the expected engine repeated this very question, all of it
    wrong      status 200 with anything else
    failed     an error, or another status
    hung       no answer in time

Standard library only. Runs until it is killed, in a pod of the cluster under test.
"""

import http.client
import json
import sys
import threading
import time
import uuid


def ask(address: tuple[str, int], model: str, expected: str, timeout_seconds: float) -> tuple[str, str]:
    """One request: its outcome, and what there is to say of it."""
    mark = uuid.uuid4().hex
    question = f"What do you make of {mark} then?"
    body = json.dumps({"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": question}]})
    connection = http.client.HTTPConnection(*address, timeout=timeout_seconds)
    try:
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read().decode()
    except TimeoutError:
        return "hung", ""
    except (OSError, http.client.HTTPException) as error:
        return "failed", f"{type(error).__name__} {error}"
    finally:
        connection.close()
    if response.status != 200:
        return "failed", f"{response.status} {text[:200]}"
    return judge(text, f"{expected} heard: {question}")


def judge(text: str, wanted: str) -> tuple[str, str]:
    """Whether an answer is the one that a healthy group gives."""
    try:
        choice = json.loads(text)["choices"][0]
        right = choice["message"]["content"].startswith(wanted) and choice["finish_reason"] == "stop"
    except (ValueError, KeyError, IndexError, TypeError):
        right = False
    return ("answered", "") if right else ("wrong", text[:300])


def loop(address: tuple[str, int], model: str, expected: str, pause_seconds: float, timeout_seconds: float) -> None:
    """Ask for ever."""
    while True:
        started = time.time()
        outcome, detail = ask(address, model, expected, timeout_seconds)
        line = f"{started:.3f} {time.time() - started:.3f} {outcome} {' '.join(detail.split())}"
        sys.stdout.write(line.rstrip() + "\n")
        sys.stdout.flush()
        time.sleep(pause_seconds)


def main(host: str, port: str, model: str, expected: str, *numbers: str) -> None:
    """Start the workers."""
    workers, pause_seconds, timeout_seconds = (float(text) for text in (*numbers, "6", "0.3", "5")[:3])
    given = ((host, int(port)), model, expected, pause_seconds, timeout_seconds)
    threads = [threading.Thread(target=loop, args=given) for _ in range(int(workers))]
    for thread in threads:
        thread.start()
        time.sleep(pause_seconds / len(threads))
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
