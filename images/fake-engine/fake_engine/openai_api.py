"""The OpenAI API over a `Batch`: models, chat, completions, streaming. Both engines share it; they differ in `Dialect`."""

import asyncio
import json
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from fake_engine.answers import Answer, answer, asked_tokens, count_tokens, prompt_text
from fake_engine.batch import Batch, EngineDead, Request
from fake_engine.knobs import Knobs

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where the two engines' servers differ."""

    checks_model_name: bool
    owner: str


@dataclass(slots=True)
class OpenAiApi:
    """Handlers; `names` are the model's served names, the first is said in answers."""

    batch: Batch
    knobs: Knobs
    names: list[str]
    root: str
    who: str
    context_tokens: int
    dialect: Dialect
    api_keys: frozenset[str] = frozenset()
    max_queued: int | None = None
    draining: bool = False
    on_rejection: Callable[[str], None] = lambda _reason: None
    _born: int = field(default_factory=lambda: int(time.time()))

    def routes(self) -> list[web.RouteDef]:
        """What both engines serve under /v1."""
        return [
            web.get("/v1/models", self.models),
            web.post("/v1/chat/completions", self.chat),
            web.post("/v1/completions", self.completions),
        ]

    @web.middleware
    async def guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """The API key guards /v1 only."""
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.api_keys and request.path.startswith("/v1") and key not in self.api_keys:
            return web.json_response({"error": "Unauthorized"}, status=401)
        found: web.StreamResponse = await handler(request)
        return found

    async def models(self, _request: web.Request) -> web.Response:
        """The served names."""
        rows = [
            {
                "id": name,
                "object": "model",
                "created": self._born,
                "owned_by": self.dialect.owner,
                "root": self.root,
                "parent": None,
                "max_model_len": self.context_tokens,
            }
            for name in self.names
        ]
        return web.json_response({"object": "list", "data": rows})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """`/v1/chat/completions`."""
        return await self._serve(request, "chat.completion", "messages")

    async def completions(self, request: web.Request) -> web.StreamResponse:
        """`/v1/completions`."""
        return await self._serve(request, "text_completion", "prompt")

    async def _serve(self, request: web.Request, kind: str, needs: str) -> web.StreamResponse:
        try:
            body = await request.json()
        except ValueError as broken:
            return error(400, "BadRequestError", f"JSON decode error: {broken}")
        refused = self._refusal(body, needs)
        if refused:
            return refused
        tokens = count_tokens(prompt_text(body))
        said = answer(self.who, body, self.knobs.answer_tokens, self.context_tokens - tokens)
        asked = Request(tokens, said.words)
        try:
            self.batch.submit(asked)
        except EngineDead as dead:
            return error(500, "InternalServerError", str(dead))
        self._count()
        reply = _Reply(kind, str(body.get("model") or self.names[0]), asked, said)
        try:
            return await (reply.stream(request, body) if body.get("stream") else reply.whole())
        except asyncio.CancelledError:
            self.batch.abort(asked)
            raise

    def _refusal(self, body: Any, needs: str) -> web.Response | None:
        if not isinstance(body, dict) or needs not in body:
            return error(
                400, "BadRequestError", f"1 validation error: {{'loc': ('body', '{needs}'), 'msg': 'Field required'}}"
            )
        model = body.get("model")
        if self.dialect.checks_model_name and model and model not in self.names:
            return error(404, "NotFoundError", f"The model `{model}` does not exist.", "model")
        if self.draining:
            return error(503, "ServiceUnavailableError", "The server is shutting down.")
        if self.max_queued is not None and len(self.batch.waiting) + len(self.batch.running) >= self.max_queued:
            self.on_rejection("max_num_queued_reqs")
            return error(503, "ServiceUnavailableError", "The request queue is full. Try again later.")
        tokens, limit = count_tokens(prompt_text(body)), asked_tokens(body)
        if tokens >= self.context_tokens or tokens + (limit or 0) > self.context_tokens:
            return error(
                400,
                "BadRequestError",
                f"This model's maximum context length is {self.context_tokens} tokens. However, you requested "
                f"{limit or 0} output tokens and your prompt contains {tokens} input tokens. Please reduce the length of the "
                "input prompt or the number of requested output tokens.",
                "input_tokens",
            )
        return None

    def _count(self) -> None:
        """Faults that come after so many requests."""
        if self.knobs.hang_after_requests and self.batch.accepted >= self.knobs.hang_after_requests:
            self.batch.stuck = True
        if self.knobs.crash_after_requests and self.batch.accepted >= self.knobs.crash_after_requests:
            os._exit(self.knobs.crash_exit_code)


@dataclass(slots=True)
class _Reply:
    """One answer on its way out."""

    kind: str
    model: str
    request: Request
    said: Answer
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def _head(self, suffix: str = "") -> Body:
        prefix = "chatcmpl-" if self.kind == "chat.completion" else "cmpl-"
        kind = self.kind + suffix if self.kind == "chat.completion" else self.kind
        return {"id": prefix + self.id, "object": kind, "created": int(time.time()), "model": self.model}

    def _usage(self) -> Body:
        prompt, made = self.request.prompt_tokens, self.request.made
        return {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}

    async def whole(self) -> web.Response:
        """One JSON object."""
        words: list[str] = []
        while (item := await self.request.out.get()) is not None:
            if isinstance(item, Exception):
                return error(500, "InternalServerError", str(item))
            words.append(item)
        text = "".join(words).rstrip()
        part: Body = {"index": 0, "finish_reason": self.said.finish_reason, "logprobs": None}
        part |= (
            {"message": {"role": "assistant", "content": text}} if self.kind == "chat.completion" else {"text": text}
        )
        return web.json_response({**self._head(), "choices": [part], "usage": self._usage()})

    async def stream(self, request: web.Request, body: Body) -> web.StreamResponse:
        """Server-sent events, one word each."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        if self.kind == "chat.completion":
            await self._send(response, {"role": "assistant", "content": ""}, None)
        while (item := await self.request.out.get()) is not None:
            if isinstance(item, Exception):
                failed = {"error": {"message": str(item), "type": "InternalServerError", "param": None, "code": 500}}
                await response.write(f"data: {json.dumps(failed)}\n\ndata: [DONE]\n\n".encode())
                return response
            await self._send(response, {"content": item}, None)
        await self._send(response, {"content": ""}, self.said.finish_reason)
        if (body.get("stream_options") or {}).get("include_usage"):
            await self._write(response, {**self._head(".chunk"), "choices": [], "usage": self._usage()})
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _send(self, response: web.StreamResponse, delta: Body, finish: str | None) -> None:
        part: Body = {"index": 0, "finish_reason": finish, "logprobs": None}
        part |= {"delta": delta} if self.kind == "chat.completion" else {"text": delta.get("content", "")}
        await self._write(response, {**self._head(".chunk"), "choices": [part]})

    async def _write(self, response: web.StreamResponse, chunk: Body) -> None:
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())


def error(status: int, kind: str, message: str, parameter: str | None = None) -> web.Response:
    """An error in OpenAI's shape."""
    return web.json_response(
        {"error": {"message": message, "type": kind, "param": parameter, "code": status}}, status=status
    )
