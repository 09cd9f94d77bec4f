"""The API as Starlette serves it: a request is checked, asked once for all, answered in JSON."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from raftwork.errors import (
    CannotDecrypt,
    PermissionDenied,
    ProtocolError,
    QueueFull,
    RaftworkError,
    Unavailable,
    UnknownSchedule,
    UnknownTask,
    UnknownWorker,
)
from raftwork.web.access import COOKIE, Forbidden, Rules, by_tls, require_own_page
from raftwork.web.api.action_notes import note, outcome_of
from raftwork.web.api.catalogue import ENDPOINTS
from raftwork.web.api.endpoint import (
    BODY_BYTES_MAX,
    PREVIEW,
    TEXT_MAX,
    Acted,
    Answer,
    Asked,
    Endpoint,
)
from raftwork.web.api.openapi import document
from raftwork.web.api.shared import Shared
from raftwork.web.api.sight import NoApp, Sight, UnknownQueue
from raftwork.web.stream.viewers import Streams, TooManyViewers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request


#: A longer integer is told in hexadecimal: Python writes no decimal of more than 4,300 digits.
_INT_BITS_MAX: Final = 10_000
#: For the whole of a body, s.
BODY_S: Final = 10.0
#: In which a browser says where its stream broke off.
_LAST: Final = "last-event-id"

log = logging.getLogger("raftwork.web")

#: The first that fits; all others are errors of ours.
_STATUS: Final[Mapping[type[Exception], int]] = {
    UnknownTask: 404,
    UnknownSchedule: 404,
    UnknownWorker: 404,
    UnknownQueue: 404,
    PermissionDenied: 403,
    CannotDecrypt: 409,
    ProtocolError: 409,
    QueueFull: 429,
    NoApp: 503,
    TooManyViewers: 503,
    Unavailable: 503,
    TimeoutError: 504,
    TypeError: 400,
    ValueError: 400,
    RaftworkError: 409,
}


class Api:
    """All of its addresses."""

    def __init__(self, sight: Sight, rules: Rules) -> None:
        self._sight, self._rules = sight, rules
        self._shared = Shared()
        self.streams = Streams(sight.watch, sight.own_app, self._shared.forget)

    def routes(self) -> list[BaseRoute]:
        """Below `/api/v1`."""
        served: list[BaseRoute] = [
            Route(each.path, _guarded(partial(self._serve, each)), methods=[each.method])
            for each in ENDPOINTS
        ]
        described = Response(encode(document(ENDPOINTS)), media_type="application/json")

        async def openapi(_request: Request) -> Response:
            return described

        return [
            Route("/openapi.json", openapi),
            Route("/session", _guarded(self._log_in), methods=["POST"]),
            Route("/session/end", _guarded(self._log_out), methods=["POST"]),
            *served,
        ]

    async def _serve(self, endpoint: Endpoint, request: Request) -> Response:
        rules = self._rules
        visitor = rules.visitor(request)
        visitor = rules.require(visitor, endpoint.role, changes=endpoint.changes)
        body: object = None
        if endpoint.changes:
            require_own_page(request)
            body = await _body(request)
        query = request.query_params.multi_items()
        stream = endpoint.streamed(request.headers.get("accept", ""))
        if stream is not None and (last := request.headers.get(_LAST)):
            query = [(n, v) for n, v in query if n != "after"] + [("after", last)]
        said = endpoint.check(request.path_params, query, body)
        asked = Asked(said, visitor, payloads=rules.shows_payloads(visitor))
        if stream is not None:
            subscription = stream(self._sight, asked)
            return self.streams.open(subscription, partial(self._still, endpoint, request))
        if endpoint.preview is not None and asked.flag(PREVIEW):
            return await run_in_threadpool(self._preview, endpoint.preview, asked)
        if endpoint.changes:
            return await run_in_threadpool(self._act, endpoint, asked)
        if (
            endpoint.shared_s
            and (ready := self._shared.ready(_shared_key(endpoint, asked))) is not None
        ):
            return _json(ready)  # without a thread, which costs as much as all the rest
        return await run_in_threadpool(self._look, endpoint, asked)

    def _still(self, endpoint: Endpoint, request: Request) -> bool:
        """Whether whoever sent it may go on: their token may be good for nothing by now."""
        try:
            self._rules.require(self._rules.visitor(request), endpoint.role, changes=False)
        except Forbidden:
            return False
        return True

    def _look(self, endpoint: Endpoint, asked: Asked) -> Response:
        def make() -> object:
            return encode(endpoint.answer(self._sight, asked))

        if not endpoint.shared_s:
            return _json(make())
        return _json(self._shared.answer(_shared_key(endpoint, asked), make, endpoint.shared_s))

    def _preview(self, answer: Answer, asked: Asked) -> Response:
        return _json(encode(answer(self._sight, asked)))

    def _act(self, endpoint: Endpoint, asked: Asked) -> Response:
        outcome = "failed"
        try:
            acted = endpoint.answer(self._sight, asked)
            if not isinstance(acted, Acted):
                acted = Acted(acted)
            outcome = acted.outcome
            return _json(encode(acted.document))
        except Exception as error:
            outcome = outcome_of(error)
            raise
        finally:
            who, what = asked.visitor, endpoint.path.strip("/").replace("/", " ")
            # As JSON, so that no name can make a line of its own.
            told = json.dumps([who.name, who.role.word, what, outcome[:500]])
            log.info("action %s %s", told, asked.said())
            self._shared.forget()
            note(self._sight, asked, what, outcome)

    async def _log_in(self, request: Request) -> Response:
        require_own_page(request)
        body = await _body(request)
        token = body.get("token") if isinstance(body, dict) else None
        if self._rules.tokens is None:
            raise Forbidden("there is nothing to log in to: no token file is used", 400)
        if not isinstance(token, str) or not 0 < len(token) <= TEXT_MAX:
            raise ValueError("token must be a text")
        visitor = self._rules.tokens.visitor(token)
        if visitor is None:
            raise Forbidden("this token is not known", 401)
        response = _json(encode({"name": visitor.name, "role": visitor.role.word}))
        response.set_cookie(
            COOKIE,
            token,
            httponly=True,
            samesite="strict",
            secure=by_tls(request),
            max_age=30 * 86_400,
            path=self._rules.root_path or "/",
        )
        return response

    async def _log_out(self, request: Request) -> Response:
        require_own_page(request)
        response = _json(encode({}))
        path = self._rules.root_path or "/"
        response.delete_cookie(COOKIE, path, httponly=True, samesite="strict")
        return response


def _shared_key(endpoint: Endpoint, asked: Asked) -> str:
    """What is answered alike to all who ask it."""
    return f"{endpoint.path} {asked.key}"


def _guarded(
    serve: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    async def guarded(request: Request) -> Response:
        try:
            return await serve(request)
        except Forbidden as error:
            return refusal(error.status, error)
        except Exception as error:
            status = next((s for kind, s in _STATUS.items() if isinstance(error, kind)), 500)
            if status == 500:
                log.exception("a request failed")
            return refusal(status, error)

    return guarded


def refusal(status: int, error: Exception) -> Response:
    """An error as the API answers it."""
    text = str(error) if status != 500 else "this process failed; its log says how"
    return _json(encode({"error": type(error).__name__, "text": text[:4_000]}), status)


async def unserved(request: Request, error: Exception) -> Response:
    """An address, or a method of one, that there is not; or what failed outside of the API."""
    if not isinstance(error, HTTPException):
        return refusal(500, error)
    text = {
        404: "there is nothing at this address",
        405: f"{request.method} is not taken at this address",
    }.get(error.status_code, error.detail)
    word = {404: "NotFound", 405: "MethodNotAllowed"}.get(error.status_code, "HTTPException")
    answer = _json(encode({"error": word, "text": text}), error.status_code)
    answer.headers.update(error.headers or {})
    return answer


async def _body(request: Request) -> object:
    """What was sent, in JSON. Raises Forbidden, ValueError."""
    taken = b""
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                taken += part
                if len(taken) > BODY_BYTES_MAX:
                    raise Forbidden(f"a body may have {BODY_BYTES_MAX} bytes, this has more", 413)
    except TimeoutError:
        raise Forbidden(f"the body had not come after {BODY_S:g} s", 408) from None
    try:
        return json.loads(taken or b"{}")
    except (ValueError, RecursionError):
        raise ValueError("the body is no JSON") from None


def encode(value: object) -> bytes:
    """As JSON; bytes are `{"$bytes": "<base64>"}`, and what JSON has not is told as Python has it.

    What a task returns is anything, and must not keep people from its page.
    """
    try:
        try:
            text = json.dumps(value, default=_other, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError):
            text = json.dumps(_plain(value), default=_other, ensure_ascii=False)
    except RecursionError:
        text = json.dumps({"error": "RaftworkError", "text": "this is nested too deeply"})
    return text.encode(errors="replace")


def _other(value: object) -> object:
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    return repr(value)


def _plain(value: object) -> object:
    """JSON has no infinity, no NaN and no keys but texts, and Python writes no endless numbers."""
    if isinstance(value, float) and not -1e308 <= value <= 1e308:
        return repr(value)
    if isinstance(value, int) and value.bit_length() > _INT_BITS_MAX:
        return hex(value)
    if isinstance(value, dict):
        return {_key(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _key(name: object) -> str:
    return str(_plain(name) if isinstance(name, int) else name)


def _json(content: object, status: int = 200) -> Response:
    assert isinstance(content, bytes)
    headers = {"Cache-Control": "no-store"}
    return Response(content, status, headers, media_type="application/json")
