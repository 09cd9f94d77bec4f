"""Counts calls in a client: in the thread that calls it, and in the client's own.

No thread can begin to profile another one. So the client is made to connect anew, and its thread
profiles itself from its start; what it had called before the load is subtracted.
"""

import cProfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from raftwork import App, native_threads


def counted(app: App, load: Callable[[int], None], tasks: int) -> dict[str, int]:
    """Run the load; the calls by function, as `sitecustomize` names them."""
    caller, own = cProfile.Profile(), cProfile.Profile()
    start = native_threads.start

    def profiled(code: Callable[[], None]) -> None:
        def run() -> None:
            own.enable()
            code()

        start(run)

    native_threads.start = profiled
    _connect_anew(app)
    try:
        load(1)
        before = _calls(own)
        caller.enable()
        load(tasks)
        caller.disable()
        return _calls(own) - before + _calls(caller)
    finally:
        native_threads.start = start
        _connect_anew(app)


def _connect_anew(app: App) -> None:
    if app._connection is not None:  # noqa: SLF001 - nothing else makes a new one
        app._connection.close()  # noqa: SLF001
    app.start_afresh()


def _calls(profile: cProfile.Profile) -> Counter[str]:
    """Not by pstats, which would end the profile, and in this thread."""
    calls = Counter[str]()
    for entry in profile.getstats():
        code = entry.code
        if isinstance(code, str):
            name = code
        else:
            path = Path(code.co_filename)
            name = f"{path.parent.name}/{path.name}:{code.co_firstlineno} {code.co_name}"
        calls[name] += entry.callcount
    return calls
