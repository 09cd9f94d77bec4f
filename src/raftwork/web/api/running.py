"""What runs now, and what ended in the last minute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from raftwork.client.overview import instant_of
from raftwork.errors import ProtocolError
from raftwork.features.running import ListRunning, RunningTask, RunningTold

if TYPE_CHECKING:
    from raftwork.web.api.endpoint import Asked
    from raftwork.web.api.sight import Sight

#: Tasks that are told if it is not said how many.
_SHOWN: Final = 100


def running(sight: Sight, asked: Asked) -> object:
    """What runs, the longest first."""
    limit = asked.whole("limit") or _SHOWN
    wanted = ListRunning(0, limit, asked.text("queue"), asked.text("worker"))
    told = sight.app.call(wanted, RunningTold).result()
    return {
        "as_of": instant_of(told.time),
        "running": told.running,
        "held": told.held,
        "tasks": [_task(each) for each in told.tasks],
    }


def _task(task: RunningTask) -> dict[str, object]:
    said = task.progress
    return {
        "id": task.id,
        "name": task.name,
        "queue": task.queue,
        "worker": task.worker,
        "attempt": task.attempt,
        "age": task.run_ms / 1_000,
        "cancelling": task.cancelling,
        "waits": task.waits,
        "progress": None
        if said is None
        else {"fraction": said.fraction, "text": said.text, "at": instant_of(said.at)},
    }


def timeline(sight: Sight, _asked: Asked) -> object:
    """What ended in the last minute, the newest 2,000: when each began and ended, and where.

    Names and workers stand once, and each bar has their places there.
    """
    try:
        window = sight.timeline.window(sight.app)
    except ProtocolError as error:  # its leader keeps no events
        return {
            "now": None,
            "names": [],
            "workers": [],
            "bars": [],
            "more": False,
            "why": str(error),
        }
    names = {name: at for at, name in enumerate(dict.fromkeys(bar.name for bar in window.bars))}
    workers = {name: at for at, name in enumerate(dict.fromkeys(b.worker for b in window.bars))}
    return {
        "now": window.now,
        "names": list(names),
        "workers": list(workers),
        "bars": [
            [bar.began, bar.ended, workers[bar.worker], names[bar.name], bar.outcome, bar.id]
            for bar in window.bars
        ],
        "more": window.more,
        "why": None,
    }
