"""Notes when things happen in a process of a benchmark; Python imports it at its start.

The process listens on TRACE_IN/<pid>: "start" forgets what was noted, "stop" answers with it, as a
JSON array of [nanoseconds on the clock that all processes of a machine share, what happened].
"""

import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns
from typing import Any

_events: list[tuple[int, str]] = []


def _note(what: str) -> None:
    _events.append((monotonic_ns(), what))


def _around(owner: Any, method: str, before: str, after: str) -> None:
    """Note when a method is called and when it returns; an empty text is not noted."""
    inner: Callable[..., Any] = getattr(owner, method)

    def traced(*args: Any, **kwargs: Any) -> Any:
        if before:
            _note(before)
        try:
            return inner(*args, **kwargs)
        finally:
            if after:
                _note(after)

    setattr(owner, method, traced)


def _codecs() -> None:
    from raftwork.wire import Codec

    encode, from_plain = Codec.encode, Codec.from_plain

    def encoded(self: Codec[Any], record: Any) -> bytes:
        data = encode(self, record)
        _note(f"wrote {type(record).__name__}")
        return data

    def decoded(self: Codec[Any], *args: Any) -> Any:
        record = from_plain(self, *args)
        _note(f"read {type(record).__name__}")
        return record

    Codec.encode, Codec.from_plain = encoded, decoded  # type: ignore[method-assign,assignment]


def _trace() -> None:
    from raftwork.net.polling import SocketPoller

    _codecs()
    _around(SocketPoller, "poll", "waits", "wakes")
    if "broker" in sys.argv or sys.argv[:1] == ["-m"]:
        from raftwork.broker.store.store import Store
        from raftwork.worker.runner import Runner

        _around(Store, "commit", "commits", "has committed")
        _around(Runner, "run", "runs the code", "has run the code")
    else:
        from raftwork import Run, Task

        _around(Task, "enqueue", "enqueue is called", "enqueue returns")
        _around(Run, "result", "", "result returns")


def _serve(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            if connection.recv(16) == b"start":
                _events.clear()
                connection.sendall(b"[]")
            else:
                connection.sendall(json.dumps(_events).encode())


if "TRACE_IN" in os.environ:
    _trace()
    _listener = socket.socket(socket.AF_UNIX)
    _listener.bind(str(Path(os.environ["TRACE_IN"]) / str(os.getpid())))
    _listener.listen()
    threading.Thread(target=_serve, args=(_listener,), daemon=True).start()
