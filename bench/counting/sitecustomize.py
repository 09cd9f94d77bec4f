"""Counts calls in a process of a benchmark; Python imports it at its start, as it is on the path.

The process listens on COUNT_IN/<pid>: "start" begins to profile its main thread, "stop" ends that
and answers with a JSON object, {function: calls}. The main thread is reached by a pending call of
the interpreter: a signal would be taken for the order to stop.
"""

import cProfile
import ctypes
import json
import os
import socket
import sys
import threading
from pathlib import Path

_profile = cProfile.Profile()
_changed = threading.Event()
_Pending = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)


def _toggle(start: int | None) -> int:
    if start:
        _profile.clear()
        _profile.enable()
    else:
        _profile.disable()
    _changed.set()
    return 0


_pending = _Pending(_toggle)  # kept: the interpreter calls it later


def _switch(*, on: bool) -> None:
    _changed.clear()
    ctypes.pythonapi.Py_AddPendingCall(_pending, ctypes.c_void_p(int(on)))
    _changed.wait()


def _counts() -> dict[str, int]:
    """Not by pstats: what was compiled of a text, as records' checks are, would count as one."""
    counts: dict[str, int] = {}
    for entry in _profile.getstats():
        code = entry.code
        if isinstance(code, str):
            name = code
        else:
            path = Path(code.co_filename)
            name = f"{path.parent.name}/{path.name}:{code.co_firstlineno} {code.co_name}"
        counts[name] = counts.get(name, 0) + entry.callcount
    return counts


def _serve(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            asked = connection.recv(16)
            _switch(on=asked == b"start")
            connection.sendall(json.dumps(_counts()).encode() if asked == b"stop" else b"{}")


if "COUNT_IN" in os.environ and sys.argv[:1] == ["-m"]:
    _listener = socket.socket(socket.AF_UNIX)
    _listener.bind(str(Path(os.environ["COUNT_IN"]) / str(os.getpid())))
    _listener.listen()
    threading.Thread(target=_serve, args=(_listener,), daemon=True).start()
