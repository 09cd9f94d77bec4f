"""Keeps the parts of `raftwork dev` running: starts them, restarts the worker, ends all."""

from __future__ import annotations

import errno
import importlib.util
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, TypeAlias

from raftwork.cli.dev.parts import Part, Process

#: For what runs when Ctrl-C is pressed; after it the tasks go back to the queue.
_FINISH_S: Final = 3.0
#: For a process to end once it is to end at once; then it is killed.
_END_S: Final = 4.0
#: CPython may overlook a signal that comes just as it begins to wait: it looks again so often.
_TURN_S: Final = 1.0
#: Files that are saved together restart the worker once, ms.
_TOGETHER_MS: Final = 100


@dataclass(frozen=True, slots=True)
class Ended:
    """A process is over."""

    process: Process


@dataclass(frozen=True, slots=True)
class Ready:
    """The broker listens."""


@dataclass(frozen=True, slots=True)
class Changed:
    """Files were written, made or removed."""

    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """A signal came."""


Event: TypeAlias = Ended | Ready | Changed | Told


class Supervisor:
    """Everything happens in the main thread; others only put what they see into the queue."""

    def __init__(
        self, broker: Part, worker: Part, *, watched: Sequence[Path], say: Callable[[str], None]
    ) -> None:
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._broker_part, self._worker_part = broker, worker
        self._watched, self._say = watched, say
        self._watches = False
        #: What to do about the broker's end, if that is known.
        self._remedy = ""
        self._broker: Process | None = None
        self._worker: Process | None = None
        #: Workers that were replaced, and finish what they run under the old code.
        self._old: list[Process] = []

    def run(self) -> int:
        """Until Ctrl-C, or until there is nothing left to do; returns the exit status."""
        before = {n: signal.signal(n, self._told) for n in (signal.SIGINT, signal.SIGTERM)}
        self._watches = watch(self._watched, self._changed)
        if not self._watches:
            self._say("files are not watched: pip install 'raftwork[dev]' brings what that needs")
        try:
            self._say("Ctrl-C ends all; `raftwork enqueue` and programs here find this broker")
            self._broker = self._broker_part.start(self._ended, self._broker_said)
            code = self._follow()
            self._end()
        finally:
            self._kill()
            for number, handler in before.items():
                signal.signal(number, handler)
        return code

    def _follow(self) -> int:
        """Act on events; the exit status once one of them ends all."""
        while True:
            match event := self._next():
                case None:
                    continue
                case Told():
                    self._say("ends: waits for what runs; Ctrl-C again ends it at once")
                    return 0
                case Ready():
                    self._start_worker()
                case Changed():
                    if self._worker is not None:
                        self._say(f"{_shown(event.files)} changed: restarts the worker")
                        self._replace()
                case Ended() if event.process is self._broker:
                    self._say(f"the broker ended with status {event.process.code}{self._remedy}")
                    return 1
                case Ended() if event.process is self._worker:
                    how = f"the worker ended with status {event.process.code}"
                    if not self._watches:
                        self._say(how)
                        return 1
                    self._say(f"{how}; starts again when a file changes")
                case Ended():
                    self._old = [each for each in self._old if each is not event.process]

    def _next(self) -> Event | None:
        try:
            return self._events.get(timeout=_TURN_S)
        except Empty:
            return None

    def _start_worker(self) -> None:
        self._worker = self._worker_part.start(self._ended)

    def _replace(self) -> None:
        """A new worker at once; the old one takes nothing new, and finishes what it runs."""
        for older in self._old:
            older.stop()  # told a second time: it ends, and its tasks go back to the queue
        if self._worker is not None and self._worker.code is None:
            self._worker.stop()
            self._old.append(self._worker)
        self._start_worker()

    # ---- ending ---------------------------------------------------------------------------------

    def _end(self) -> None:
        """Workers first, the broker last: what they hand back is stored."""
        workers = [each for each in (self._worker, *self._old) if each is not None]
        if self._stop(workers, _FINISH_S) and self._stop(workers, _END_S) and self._broker:
            self._stop([self._broker], _END_S)

    def _stop(self, processes: Sequence[Process], within: float) -> bool:
        """Tell them, and wait for their ends; False if a signal came meanwhile."""
        for process in processes:
            if process.code is None:
                process.stop()
        deadline = time.monotonic() + within
        while any(process.code is None for process in processes):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                event = self._events.get(timeout=min(left, _TURN_S))
            except Empty:
                continue
            if isinstance(event, Told):
                return False
        return True

    def _kill(self) -> None:
        for process in (self._worker, *self._old, self._broker):
            if process is not None:
                process.kill()

    # ---- what others see ------------------------------------------------------------------------

    def _told(self, _number: int, _frame: object) -> None:
        self._events.put(Told())

    def _ended(self, process: Process) -> None:
        self._events.put(Ended(process))

    def _changed(self, files: Iterable[str]) -> None:
        self._events.put(Changed(tuple(files)))

    def _broker_said(self, line: str) -> None:
        if line.startswith("listening "):
            self._events.put(Ready())
        elif os.strerror(errno.EADDRINUSE) in line:
            self._remedy = (
                "; --port N is for a second one, and RAFTWORK_BROKERS=127.0.0.1:N for its programs"
            )


def watch(directories: Sequence[Path], changed: Callable[[Iterable[str]], None]) -> bool:
    """Have `changed` called, in a thread, with Python files that change; False if it cannot be."""
    if importlib.util.find_spec("watchfiles") is None:
        return False
    import watchfiles

    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # what changed is said here

    def look() -> None:
        found = watchfiles.watch(
            *directories,
            watch_filter=watchfiles.PythonFilter(),
            debounce=_TOGETHER_MS,
            step=_TOGETHER_MS // 4,
            raise_interrupt=False,
        )
        for changes in found:
            changed(sorted({path for _, path in changes}))

    threading.Thread(target=look, daemon=True, name="raftwork-dev-watch").start()
    return True


def _shown(files: Sequence[str]) -> str:
    first = os.path.relpath(files[0])
    return first if len(files) == 1 else f"{first} and {len(files) - 1} more"
