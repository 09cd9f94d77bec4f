"""What a running task logs, as it comes: see `App.tail`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from raftwork.client import run_info
from raftwork.client.run_info import Progress, time
from raftwork.client.status import Status
from raftwork.errors import CannotDecrypt, Unsupported
from raftwork.features.task_log import WAIT_MAX_MS, LogRead, ReadLog
from raftwork.messages import State
from raftwork.sealing import LOG, Bound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from datetime import datetime

    from raftwork.client.caller import Caller
    from raftwork.client.reply import Reply
    from raftwork.features.task_log import LoggedLine
    from raftwork.sealing import Codec

#: A leader that has nothing to tell answers after so long (ms), or a third of the App's timeout.
_WAIT_MS: Final = 1_000
#: A worker that has not answered its leader after so many answers of it tells no log.
_PATIENCE: Final = 10


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """One thing that a running task says. What does not apply is None."""

    kind: str  # started, log, progress, gap, or ended
    at: datetime | None  # UTC, by the cluster's clock
    text: str  # the line; words of the progress; the status that it ended with
    attempt: int
    worker: str | None
    fraction: float | None = None  # of the progress


@dataclass(frozen=True, slots=True)
class LogPage:
    """One look at what a task logs."""

    status: Status
    attempt: int  # 0: none that was looked at
    worker: str | None
    started: datetime | None
    progress: Progress | None
    lines: list[tuple[datetime | None, str]]
    #: Give it as `after` to go on behind these lines.
    cursor: str
    gap: bool  # lines before these are not kept
    #: Why there are no lines; empty if nothing is known to be wrong.
    why: str
    heard: bool  # the worker has answered
    ended: bool  # the task has

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self.ended and not self.lines


class LogReader:
    """Reads the log of one task, look by look."""

    def __init__(self, app: Caller, id_: str, after: str = "") -> None:
        """Raises ValueError if `after` is no cursor."""
        self._app, self._id = app, id_
        self._token, self._after = _parsed(after) if after else (0, 0)
        self._state = State.UNKNOWN

    def ask(self, wait_ms: int) -> Reply[LogRead]:
        """The next look, which may take so long."""
        where = self._id, self._token, self._after
        asked = ReadLog(0, *where, min(wait_ms, WAIT_MAX_MS), self._state)
        return self._app.call(asked, LogRead, ids=(self._id,))

    def page(self, read: LogRead) -> LogPage:
        """What was found; the next look goes on behind it. Raises CannotDecrypt."""
        if read.token:
            self._token, self._after = read.token, read.after
        self._state = read.state
        codec = self._app.codec
        lines = [(time(line.at), _text(codec, line, self._id)) for line in read.lines]
        return LogPage(
            Status(read.state.name.lower()),
            read.attempt,
            read.worker or None,
            time(read.started),
            None if read.progress is None else run_info.progress(read.progress),
            lines,
            f"{self._token}.{self._after}",
            read.gap,
            read.why,
            read.heard,
            read.state.final,
        )


class Tail:
    """What a task says while it runs, to be iterated with `for` or `async for`, until it ends.

    Each iteration goes on where the one before it ended. It raises Unavailable if no leader answers
    in the App's timeout, UnknownTask, CannotDecrypt, QueueFull if too many logs are followed, and
    Unsupported if there is nothing to be had of this one.
    """

    def __init__(self, app: Caller, id_: str, *, follow: bool) -> None:
        self._follow = follow
        self._reader, self._told = LogReader(app, id_), _Told(id_)
        self._wait_ms = min(_WAIT_MS, int(app.patience * 1_000) // 3)

    def __iter__(self) -> Iterator[LiveEvent]:
        reader, told = self._reader, self._told
        while not told.over:
            page = reader.page(reader.ask(self._wait_ms).result())
            yield from told.events(page)
            if self._is_all(page):
                return

    async def __aiter__(self) -> AsyncIterator[LiveEvent]:
        reader, told = self._reader, self._told
        while not told.over:
            page = reader.page(await reader.ask(self._wait_ms).aresult())
            for event in told.events(page):
                yield event
            if self._is_all(page):
                return

    def _is_all(self, page: LogPage) -> bool:
        """Whether that is what there is now, and no more was asked for."""
        return not self._follow and (page.heard or page.status is not Status.RUNNING)


class _Told:
    """What one reader was told so far."""

    def __init__(self, id_: str) -> None:
        self._id = id_
        self._attempt = 0
        self._progress: Progress | None = None
        self._unheard = 0
        #: Whether the task has ended, and all of it is told.
        self.over = False

    def events(self, page: LogPage) -> Iterator[LiveEvent]:
        """What is new. Raises Unsupported."""
        self._check(page)
        who = page.attempt, page.worker
        if page.attempt and page.attempt != self._attempt and page.heard:
            self._attempt, self._progress = page.attempt, None
            yield LiveEvent("started", page.started, "", *who)
        if page.gap:
            yield LiveEvent("gap", None, "lines are missing here", *who)
        for at, text in page.lines:
            yield LiveEvent("log", at, text, *who)
        said = page.progress
        if said is not None and said != self._progress:
            self._progress = said
            yield LiveEvent("progress", said.at, said.text, *who, said.fraction)
        if page.over:
            self.over = True
            yield LiveEvent("ended", None, page.status.value, *who)

    def _check(self, page: LogPage) -> None:
        waits = page.status is Status.RUNNING and not page.heard
        self._unheard = self._unheard + 1 if waits else 0
        if page.why:
            raise Unsupported(f"no log of task {self._id}: {page.why}")
        if self._unheard > _PATIENCE:
            raise Unsupported(
                f"no log of task {self._id}: its worker {page.worker or ''} does not answer; one of"
                " a release before 0.3 knows nothing of it"
            )


def _text(codec: Codec | None, line: LoggedLine, id_: str) -> str:
    data = line.data
    if codec is not None:  # which refuses what is not sealed: a broker may have made it up
        data = codec.open(data, Bound(LOG, id_))
    elif line.sealed:
        raise CannotDecrypt(f"the log of task {id_} is encrypted, and this App has no key")
    return data.decode("utf-8", "replace")


def _parsed(cursor: str) -> tuple[int, int]:
    token, dot, after = cursor.partition(".")
    if dot and token.isdecimal() and after.isdecimal() and len(cursor) < 40:
        return int(token), int(after)
    raise ValueError(f"{cursor!r:.80} is no cursor: it is the `after` of an answer")
