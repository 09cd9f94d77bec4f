"""`python -m raftwork.web.worker_server HOST:PORT`: answers HTTP for the worker that started it.

The worker says what it is into the standard input, a socket of its own, with whose end this
process ends. Nothing is asked of it: whoever looks at a worker costs it nothing.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from raftwork.web.checks import respond
from raftwork.web.metrics import CONTENT_TYPE
from raftwork.web.server import serve, start_logging
from raftwork.web.watch import now_ms
from raftwork.web.worker_health import WorkerHealth
from raftwork.web.worker_metrics import WorkerMetrics
from raftwork.worker.own_facts import worker_facts
from raftwork.worker.pool.channel import receive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from raftwork.web.health import Check

_HEADERS: Final = {"Content-Type": CONTENT_TYPE}


def application(health: WorkerHealth) -> Starlette:
    """Health and metrics of one worker."""
    metrics = WorkerMetrics(health)

    def answer(request: Request, checks: Sequence[Check]) -> Response:
        return respond(
            checks,
            only=request.path_params.get("check"),
            exclude=request.query_params.getlist("exclude"),
        )

    async def livez(request: Request) -> Response:
        return answer(request, health.alive(now_ms()))

    async def readyz(request: Request) -> Response:
        return answer(request, health.ready(now_ms()))

    def page(_request: Request) -> Response:
        return Response(metrics.page(), headers=_HEADERS)

    return Starlette(
        routes=[
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/readyz/{check}", readyz),
            Route("/metrics", page),
        ]
    )


def listen(end: socket.socket, health: WorkerHealth) -> None:
    """Take what the worker says, until it is gone."""
    with suppress(OSError):
        while packet := receive(end):
            health.told(worker_facts.decode(packet), now_ms())


def main(arguments: Sequence[str] = sys.argv) -> None:
    """Serve until the worker is gone."""
    _, at = arguments
    with suppress(OSError):
        os.nice(10)  # as a broker's (__main__.py)
    start_logging()
    health = WorkerHealth(now_ms())

    def end_with_worker() -> None:
        listen(socket.socket(fileno=os.dup(0)), health)
        os._exit(0)

    threading.Thread(target=end_with_worker, daemon=True).start()
    serve(application(health), at, beats=True)
    sys.exit(1)  # it ends with the worker, else something was wrong


if __name__ == "__main__":
    main()
