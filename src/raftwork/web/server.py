"""`python -m raftwork.web …`: the process that answers HTTP beside a broker, and the dashboard's.

The one beside a broker ends as its standard input does: that is a pipe of the broker's, which ends
with it however it dies. It yields to the broker (__main__.py), and may not take much memory.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from raftwork import logs
from raftwork.addresses import parse_address
from raftwork.broker.options import is_loopback
from raftwork.client.app import App
from raftwork.keys import KEY_BYTES, handed_key
from raftwork.web.access import Rules, Tokens, TokensRefused
from raftwork.web.application import application, end_streams
from raftwork.web.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.applications import Starlette

MEMORY_BYTES: Final = 512 * 1024 * 1024
#: So many connections at once: more are refused with 503. Some are streams (VIEWERS_MAX).
CONNECTIONS_MAX: Final = 250
#: For an answer of the leader, s: who looks at a page waits no longer.
PATIENCE_S: Final = 5.0
#: Between two signs of life, s.
BEAT_S: Final = 1
#: The exit status if the address cannot be had; uvicorn's.
_NOT_STARTED: Final = 3


def serve(app: Starlette, listen: str, *, beats: bool = False) -> None:
    """Answer at that address until this process is told to end.

    With `beats` the standard output is a pipe of a process that looks after this one, and is told
    every second that it works (net/tended_child.py).
    """
    from uvicorn import Config

    from raftwork.web.connections import Connection, Server

    host, port = parse_address(listen)
    config = Config(
        app,
        host=host.strip("[]"),
        port=port,
        http=Connection,
        log_level="warning",
        log_config=None,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=1,
        server_header=False,
        # Who asks is who is connected: a header says so only where we are told to trust it.
        proxy_headers=False,
        callback_notify=_beat if beats else None,
        timeout_notify=BEAT_S,
    )
    if beats:
        os.set_blocking(1, False)  # whoever does not read is not waited for
    server = Server(config, partial(end_streams, app))
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(_NOT_STARTED)


async def _beat() -> None:
    with suppress(OSError):
        os.write(1, b".")


def start_logging() -> None:
    """Have what is logged written as the broker's own log is, by the same environment."""
    level = os.environ.get("RAFTWORK_LOG_LEVEL", "").lower()
    form = os.environ.get("RAFTWORK_LOG_FORMAT", "").lower()
    logs.start(level if level in logs.LEVELS else "info", form if form in logs.FORMATS else "text")


def _handed() -> bytes:
    """The secret of this process's key, which comes first over its standard input."""
    secret = b""
    while len(secret) < KEY_BYTES:
        came = os.read(0, KEY_BYTES - len(secret))
        if not came:
            os._exit(0)  # as below
        secret += came
    return secret


def _end_with_parent() -> None:
    """Wait for the end of the standard input, and of this process with it."""
    with suppress(OSError):
        while os.read(0, 1_024):
            pass
    os._exit(0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until the standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m raftwork.web", description=__doc__)
    parser.add_argument("--http", required=True, metavar="HOST:PORT")
    parser.add_argument("--name", required=True, help="of the broker")
    parser.add_argument("--brokers", required=True, help="addresses, the broker's own first")
    parser.add_argument("--data", required=True, help="its directory")
    parser.add_argument("--access", metavar="FILE", help="its access list; then a key is handed")
    parser.add_argument("--tokens", metavar="FILE", help="who may see the dashboard")
    parser.add_argument("--app-key", metavar="FILE", help="the key with which it asks the leader")
    options = parser.parse_args(arguments)
    start_logging()
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    key = None if options.access is None else handed_key(f"{options.name}:http", _handed())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    brokers = options.brokers.split(",")
    watch = Watch(brokers, options.name, options.data, key=key, access=options.access or "")
    watch.start()
    app = None
    if key is None or options.app_key is not None:
        app = App(brokers, timeout=PATIENCE_S, key=options.app_key)
    # Health is for whoever reaches the port; the dashboard is not.
    shows_page = options.tokens is not None or is_loopback(options.http)
    try:
        rules = Rules(tokens=None if options.tokens is None else Tokens(options.tokens))
    except TokensRefused as error:
        sys.exit(str(error))
    serve(application(watch, app, rules, shows_page=shows_page), options.http, beats=True)
    sys.exit(1)  # it ends with its parent, else something was wrong
