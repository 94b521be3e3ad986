"""A model's files as one short line of text, and back: what a pod can leave behind when it ends.

Kubernetes keeps 4,096 bytes of a container's last message. The configs of all 135 models of the catalogue fit, the
longest in 3,324. Pure.
"""

import base64
import lzma
import zlib
from collections.abc import Mapping

import orjson

from shardwright.api.reasons import Reason
from shardwright.fetch.problem import FetchProblem

MOST_CHARACTERS = 4096
MARK = "shardwright-facts:"
_MOST_BYTES = 1 << 20
_PROBLEM = "problem"


def pack(files: Mapping[str, str]) -> str:
    """One line. Raises FetchProblem where it would be too long."""
    content = orjson.dumps(dict(files))
    text = MARK + base64.b85encode(lzma.compress(content, format=lzma.FORMAT_ALONE, preset=9)).decode()
    shorter = MARK + base64.b85encode(zlib.compress(content, 9)).decode()
    text = min(text, shorter, key=len)
    if len(text) > MOST_CHARACTERS:
        raise FetchProblem(
            Reason.MODEL_FACTS_UNREADABLE,
            f"its config.json is too long to report ({len(text):,} letters of {MOST_CHARACTERS:,}): "
            "put it into a ConfigMap and name that in spec.model.facts.configMapRef",
        )
    return text


def pack_problem(message: str) -> str:
    """One line that says why there are no files."""
    return pack({_PROBLEM: message[:1000]})


def unpack(text: str) -> dict[str, str]:
    """The files. Raises FetchProblem, also with the problem that was packed."""
    try:
        packed = base64.b85decode(text.strip().removeprefix(MARK))
        content = _inflated(packed)
        document = orjson.loads(content)
        files = {str(name): str(value) for name, value in document.items()}
    except (ValueError, zlib.error, lzma.LZMAError, AttributeError, EOFError) as error:
        raise FetchProblem(Reason.MODEL_FACTS_UNREADABLE, "what the pod left behind is no report of a model") from error
    if _PROBLEM in files:
        raise FetchProblem(Reason.MODEL_FACTS_UNREADABLE, files[_PROBLEM])
    return files


def _inflated(packed: bytes) -> bytes:
    """At most so many bytes: a pod's words are not trusted."""
    if packed[:1] == b"\x78":
        return zlib.decompressobj().decompress(packed, _MOST_BYTES)
    unpacker = lzma.LZMADecompressor(format=lzma.FORMAT_ALONE, memlimit=128 << 20)
    return unpacker.decompress(packed, _MOST_BYTES)
