"""Workers that are to leave, and who asked for it. Sans-IO.

1. The answer goes out once the workers say themselves that they drain: they say it to every later
   leader too, so what was answered outlives this one.
2. A name is unknown only when every worker has had the time to say hello to this leader.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raftwork.features.drain import WorkerDraining
from raftwork.messages import Code, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raftwork.broker.workers.registry import WorkerRegistry
    from raftwork.broker.workers.worker import Worker
    from raftwork.features.drain import DrainWorker
    from raftwork.messages import FromBroker

#: Requests that wait for their workers' word.
OPEN_MAX = 1_000
#: Names given in answer to one that nobody has.
_NAMES_MAX = 20


@dataclass(slots=True)
class _Open:
    routing: bytes
    request: DrainWorker
    told: list[Worker] = field(default_factory=list)


class Drains:
    """The drain requests of one leadership; `all_known_at` is when rule 2's time is over."""

    def __init__(self, workers: WorkerRegistry, all_known_at: int) -> None:
        self._workforce = workers
        self._all_known_at = all_known_at
        self._open: dict[tuple[bytes, int], _Open] = {}
        self._frames: list[tuple[bytes, FromBroker]] = []

    def ask(self, routing: bytes, request: DrainWorker) -> None:
        key = (routing, request.request)
        if len(self._open) >= OPEN_MAX and key not in self._open:
            text = f"{OPEN_MAX} workers are being drained already"
            self._frames.append((routing, Refused(request.request, Code.QUEUE_FULL, text)))
            return
        self._open.setdefault(key, _Open(routing, request))

    def gone(self, routing: bytes) -> None:
        """Nobody is there to be answered; what was asked for stands."""
        self._open = {key: asked for key, asked in self._open.items() if key[0] != routing}

    def settle(self, now: int) -> None:
        """Tell the workers, and answer what can be answered. Cheap if nobody asked."""
        for key, asked in list(self._open.items()):
            for worker in self._workforce.named(asked.request.name):
                if worker not in asked.told:
                    asked.told.append(worker)
                    self._workforce.drain(worker)
            answer = self._answer(asked, now)
            if answer is not None:
                del self._open[key]
                self._frames.append((asked.routing, answer))

    def _answer(self, asked: _Open, now: int) -> FromBroker | None:
        number, told = asked.request.request, asked.told
        if any(worker.lost is None and not worker.draining for worker in told):
            return None  # told, and not heard of since
        if any(worker.draining or worker.left for worker in told):
            return WorkerDraining(number)
        if not told and now < self._all_known_at:
            return None
        return Refused(number, Code.UNKNOWN_WORKER, self._unknown(asked.request.name))

    def _unknown(self, name: str) -> str:
        names = sorted({status.name for status in self._workforce.statuses()} - {name})
        more = ", …" if len(names) > _NAMES_MAX else ""
        return (
            f"no worker named {name!r}; there are {', '.join(names[:_NAMES_MAX]) or 'none'}{more}"
        )

    def frames(self) -> Iterator[tuple[bytes, FromBroker]]:
        out, self._frames = self._frames, []
        yield from out
