"""All that this process answers: health, metrics, the API and the page.

Health is for machines and needs no token. Everything else goes by the rules (access.py), but for
metrics where nobody is asked who they are: whoever reaches the port may read these. What is served
is of this package alone: no file that a request could name.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from raftwork.web.access import Forbidden, Role, Rules
from raftwork.web.api.serving import Api, refusal, unserved
from raftwork.web.api.sight import Sight
from raftwork.web.checks import respond
from raftwork.web.metrics import CONTENT_TYPE, Metrics
from raftwork.web.packing import Packed
from raftwork.web.watch import Watch, now_ms

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from raftwork.client.app import App
    from raftwork.web.health import Check, Health
    from raftwork.web.stream.viewers import Streams

#: Nothing from elsewhere, nothing inline, in no frame.
POLICY: Final = (
    "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self';"
    " frame-ancestors 'none'"
)
_HEADERS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class _Headers:
    """Has every answer say what a browser may do with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


def application(
    watch: Watch,
    app: App | None = None,
    rules: Rules | None = None,
    *,
    shows_page: bool = True,
    log_link: str = "",
) -> Starlette:
    """Of one process. With `shows_page` False there are health and metrics alone.

    `log_link` is where the logs of a task are, with {task_id} in it.
    """
    rules = rules or Rules()
    routes: list[BaseRoute] = [
        *(_health(watch) if watch.name else ()),
        Route("/metrics", _metrics(watch, rules)),
    ]
    streams: list[Streams] = []
    if shows_page:
        api = Api(Sight(watch, app, log_link), rules)
        streams.append(api.streams)
        routes.append(Mount("/api/v1", routes=api.routes()))
        routes += _page(rules)
    if rules.root_path:  # a proxy may take it off, or pass it on
        routes = [Mount(rules.root_path, routes=routes), *routes]
    made = Starlette(
        routes=routes,
        middleware=[Middleware(_Headers), Middleware(Packed)],
        exception_handlers={HTTPException: unserved, Exception: unserved},
    )
    made.state.streams = streams
    return made


def end_streams(made: Starlette) -> None:
    """Who is told what happens is told that this was all."""
    for streams in made.state.streams:
        streams.end()


# ---- for machines -------------------------------------------------------------------------------


def _health(watch: Watch) -> list[BaseRoute]:
    def answering(
        ask: Callable[[Health, int], list[Check]],
    ) -> Callable[[Request], Awaitable[Response]]:
        # In the loop itself: all threads may be taken by people who wait for a leader, and whoever
        # has no answer from here restarts the broker.
        async def answer(request: Request) -> Response:
            with watch.lock:
                checks = ask(watch.health, now_ms())
            return respond(
                checks,
                only=request.path_params.get("check"),
                exclude=request.query_params.getlist("exclude"),
            )

        return answer

    readyz = answering(lambda health, now: health.ready(now))
    return [
        Route("/livez", answering(lambda health, now: health.alive(now))),
        Route("/readyz", readyz),
        Route("/readyz/{check}", readyz),
        Route("/safe-to-stop", answering(lambda health, _now: health.safe_to_stop())),
    ]


def _metrics(watch: Watch, rules: Rules) -> Callable[[Request], Response]:
    metrics = Metrics(watch)

    def page(request: Request) -> Response:
        if rules.asks_who:
            try:
                rules.require(rules.visitor(request), Role.VIEWER, changes=False)
            except Forbidden as error:
                return refusal(error.status, error)
        return Response(metrics.page(), headers={"Content-Type": CONTENT_TYPE})

    return page


# ---- for people ---------------------------------------------------------------------------------


def static_files() -> dict[str, bytes]:
    """Every file of the page, by its path below `static/`."""
    found: dict[str, bytes] = {}
    todo = [("", files("raftwork.web") / "static")]
    while todo:
        prefix, directory = todo.pop()
        for each in directory.iterdir():
            path = f"{prefix}{each.name}"
            if each.is_dir():
                todo.append((f"{path}/", each))
            else:
                found[path] = each.read_bytes()
    return found


def _page(rules: Rules) -> list[BaseRoute]:
    known = static_files()

    def _file(path: str, *, keep: bool) -> Response:
        content = known.get(path)
        kind = next((t for end, t in _TYPES.items() if path.endswith(end)), "text/plain")
        if content is None:
            return Response("there is no such file", 404, media_type="text/plain")
        cached = "public, max-age=31536000, immutable" if keep else "no-cache"
        return Response(content, headers={"Content-Type": kind, "Cache-Control": cached})

    async def index(request: Request) -> Response:
        try:
            rules.visitor(request)
        except Forbidden as error:
            return refusal(error.status, error)
        return _file("index.html", keep=False)

    async def static(request: Request) -> Response:
        path = request.path_params["path"]
        return _file(path, keep=path.startswith("vendor/"))  # its name has its version

    return [Route("/static/{path:path}", static), Route("/", index)]
