"""Whether the worker or the task is to blame: which workers are excluded, and which must rest.

Sans-IO. All of it is derived from what workers report, and forgotten with the leadership.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from raftwork.features.task_row import PINNED
from raftwork.messages import State, decode_spec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from raftwork.broker.machine import Machine
    from raftwork.broker.placement.eligibility import Eligibility
    from raftwork.broker.workers.worker import Worker
    from raftwork.features.effects import Settled

#: Names listed for one worker.
_NAMES_MAX = 3


class Attribution:
    """Facts in; exclusions and the workers' health follow from them."""

    def __init__(
        self,
        machine: Machine,
        workers: Mapping[bytes, Worker],
        eligibility: Eligibility,
        rng: Random,
    ) -> None:
        self._machine = machine
        self._workers = workers
        self._eligibility = eligibility
        self._rng = rng

    def unregistered_task(self, worker: Worker, token: int, now: int) -> bool:
        """The worker has no task of that name. Returns whether another one may have it."""
        running, eligibility = self._machine.current(token), self._eligibility
        if running is None:
            return False
        name, me = decode_spec(running.spec).name, worker.incarnation
        news = eligibility.does_not_know(me, name)
        lacking = eligibility.lacking(name)
        if me not in lacking:
            return False  # no room to remember it
        others = bool(eligibility.excluded(running.queue, eligibility.rule(name)))
        if news and eligibility.elsewhere(running.queue, name):
            worker.breaker.failed(now, self._rng, unknown=True)
        elif news and not others:  # it is the task's name that is wrong
            for other in filter(None, map(self._workers.get, lacking - {me})):
                other.breaker.exonerated(unknown=True)
        return others and not running.flags & PINNED  # to come again and again

    def lost(self, worker: Worker, token: int, now: int) -> None:
        """A process of the worker died under the task."""
        running, me = self._machine.current(token), worker.incarnation
        if running is None:
            return
        before = self._eligibility.lost(me, running.seq)
        if not running.losses:
            worker.breaker.failed(now, self._rng, unknown=False)
        elif worker.breaker.trusted and len(before) == 1 and me not in before:
            first = self._workers.get(before[0])
            if first is not None:
                first.breaker.exonerated(unknown=False)

    def settled(self, effect: Settled, holder: Worker | None) -> None:
        """The task has its outcome, from that worker."""
        for incarnation in self._eligibility.settled(effect.seq):
            worker = self._workers.get(incarnation)
            if effect.state is State.SUCCEEDED and worker is not None and worker is not holder:
                worker.breaker.found_faulty()

    def reason(self, worker: Worker, now: int) -> str:
        """Why the worker gets no tasks, or not all it could take, for people; else empty."""
        if not worker.slots:
            return "nothing can run there: its processes do not start, or stopped code runs on"
        unknown = self._eligibility.unknown_to(worker.incarnation, worker.queues)
        names = list(islice(unknown, _NAMES_MAX + 1))
        listed = ", ".join(names[:_NAMES_MAX]) + (", …" if len(names) > _NAMES_MAX else "")
        reasons = (worker.breaker.reason(now), f"does not know {listed}" if names else "")
        return "; ".join(filter(None, reasons))
