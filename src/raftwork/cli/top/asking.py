"""Asks the cluster in threads of its own, so that the screen never waits for it.

What every broker says of itself is the dashboard's `Watch`; the leader is asked for what runs, and
told what is to be changed.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from raftwork.client.run_info import progress
from raftwork.errors import RaftworkError
from raftwork.features.running import ListRunning, RunningTold
from raftwork.web.api.looking import alarms, leads_since
from raftwork.web.api.sight import Sight
from raftwork.web.watch import EVERY_S, Seen

if TYPE_CHECKING:
    from raftwork.cli.top.changes import Change
    from raftwork.client.app import App
    from raftwork.client.run_info import RunInfo
    from raftwork.web.watch import Watch

#: Running tasks that are asked for: the newest.
RUNNING_MAX: Final = 200
#: How long the leader looks for them, s: they have an index.
_BUDGET_S: Final = 1.0


class Alarm(NamedTuple):
    """Something that needs attention, as the dashboard says it."""

    severity: str  # error or warning
    text: str
    remedy: str


class Running(NamedTuple):
    """The newest of what runs; `failure` is why it could not be asked for, or empty."""

    tasks: Sequence[RunInfo] = ()
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """All that is shown at one moment."""

    seen: Seen = field(default_factory=Seen)
    #: When the leader began to lead, by its own clock; None if it does not say.
    since: str | None = None
    alarms: Sequence[Alarm] = ()
    #: Tasks a second in the last ten seconds: that ended, and of these without a value.
    ended: float = 0.0
    failed: float = 0.0
    running: Running = field(default_factory=Running)


class Answer(NamedTuple):
    """What came of a change, for people."""

    text: str
    done: bool


class Source(Protocol):
    """What the screen is made of. Nothing here waits."""

    #: Whether what runs is shown: else nobody is asked for it.
    wants_running: bool

    def look(self) -> Picture:
        """The newest picture: the same object as before if nothing new is known."""
        ...

    def change(self, change: Change) -> None:
        """Have it done; what comes of it is an answer."""
        ...

    def answers(self) -> list[Answer]:
        """Those that came since the last call."""
        ...


class Asking:
    """The source that asks brokers. Its threads end with the process."""

    def __init__(self, watch: Watch, app: App) -> None:
        self.wants_running = False
        self._watch, self._app = watch, app
        self._sight = Sight(watch, app)
        self._running = Running()
        self._picture = Picture()
        self._changes: SimpleQueue[Change] = SimpleQueue()
        self._answers: SimpleQueue[Answer] = SimpleQueue()

    def start(self) -> None:
        """Begin to ask."""
        self._watch.start()
        for work in (self._ask, self._carry_out):
            threading.Thread(target=work, name=f"top{work.__name__}", daemon=True).start()

    def look(self) -> Picture:
        """The newest picture."""
        seen, running, last = self._watch.seen, self._running, self._picture
        if last.seen is seen and last.running is running:
            return last
        with self._watch.lock:
            ended, failed = self._watch.samples.now()
        found = [
            Alarm(each["severity"], each["text"], each["remedy"]) for each in alarms(self._sight)
        ]
        self._picture = Picture(seen, leads_since(self._sight), found, ended, failed, running)
        return self._picture

    def change(self, change: Change) -> None:
        """Have it done, after those before it."""
        self._changes.put(change)

    def answers(self) -> list[Answer]:
        """Those that came since the last call."""
        found: list[Answer] = []
        while True:
            try:
                found.append(self._answers.get_nowait())
            except Empty:
                return found

    def _ask(self) -> None:
        pause = threading.Event()
        while not pause.wait(EVERY_S):
            # Without a leader every question would wait for one, and the next for it.
            if self.wants_running and self._watch.seen.overview.leader is not None:
                self.ask_running()

    def ask_running(self) -> None:
        """Ask once for what runs."""
        try:
            found = self._app.runs(state="running", limit=RUNNING_MAX, budget=_BUDGET_S)
            told = self._app.call(ListRunning(0, RUNNING_MAX), RunningTold).result()
        except Exception as error:  # noqa: BLE001 - without this thread nothing would seem to run
            self._running = Running(self._running.tasks, _why(error))
        else:
            said = {each.id: progress(each.progress) for each in told.tasks if each.progress}
            self._running = Running([replace(run, progress=said.get(run.id)) for run in found])

    def _carry_out(self) -> None:
        while True:
            self.carry_out(self._changes.get())

    def carry_out(self, change: Change) -> None:
        """Do it, and keep the answer."""
        try:
            self._answers.put(Answer(change.carry_out(self._app), done=True))
        except Exception as error:  # noqa: BLE001 - it is told, and the next one is done
            self._answers.put(Answer(_why(error), done=False))


def _why(error: Exception) -> str:
    said = str(error)
    return said if isinstance(error, RaftworkError) and said else f"{type(error).__name__}: {said}"
