"""`python -m raftwork.web …`: the process that answers HTTP beside a broker.

It ends as its standard input does: that is a pipe of the broker's, which ends with it however it
dies. It yields to the broker (nice), and may not take much memory.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from raftwork.addresses import parse_address
from raftwork.web.watch import Watch, now_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request

    from raftwork.web.health import Check, Health

NICE: Final = 10
MEMORY_BYTES: Final = 512 * 1024 * 1024
#: So many connections at once: more are refused with 503.
CONNECTIONS_MAX: Final = 100


def application(watch: Watch) -> Starlette:
    """All that is answered."""

    def answering(ask: Callable[[Health, int], list[Check]]) -> Callable[[Request], JSONResponse]:
        def answer(request: Request) -> JSONResponse:
            with watch.lock:
                checks = ask(watch.health, now_ms())
            return respond(
                checks,
                only=request.path_params.get("check"),
                exclude=request.query_params.getlist("exclude"),
            )

        return answer

    livez = answering(lambda health, now: health.alive(now))
    readyz = answering(lambda health, now: health.ready(now))
    safe = answering(lambda health, _now: health.safe_to_stop())
    return Starlette(
        routes=[
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/readyz/{check}", readyz),
            Route("/safe-to-stop", safe),
        ]
    )


def respond(
    checks: Sequence[Check], *, only: str | None = None, exclude: Sequence[str] = ()
) -> JSONResponse:
    """200 if all that is asked for is well, else 503; each check with its reason."""
    asked = [check for check in checks if check.name not in exclude and only in (None, check.name)]
    if only is not None and not asked:
        return JSONResponse({"error": f"there is no check {only}"}, status_code=404)
    ok = all(check.ok for check in asked)
    document = {"ok": ok, "checks": {check.name: check.why or "ok" for check in asked}}
    return JSONResponse(document, status_code=200 if ok else 503)


def _end_with_parent() -> None:
    """Wait for the end of the standard input, and of this process with it."""
    with suppress(OSError):
        while os.read(0, 1_024):
            pass
    os._exit(0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until the standard input ends."""
    import uvicorn

    parser = argparse.ArgumentParser(prog="python -m raftwork.web", description=__doc__)
    parser.add_argument("--http", required=True, metavar="HOST:PORT")
    parser.add_argument("--name", required=True, help="of the broker")
    parser.add_argument("--brokers", required=True, help="addresses, the broker's own first")
    parser.add_argument("--data", required=True, help="its directory")
    parser.add_argument("--key", nargs=2, metavar="FILE", help="its key, and its access list")
    options = parser.parse_args(arguments)
    host, port = parse_address(options.http)
    with suppress(OSError, ValueError):
        os.nice(NICE)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keys = None if options.key is None else (options.key[0], options.key[1])
    watch = Watch(options.name, options.brokers.split(","), options.data, keys)
    watch.start()
    uvicorn.run(
        application(watch),
        host=host.strip("[]"),
        port=port,
        log_level="warning",
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=5,
        server_header=False,
    )
    sys.exit(1)  # it ends with its parent, else something was wrong
