"""What brokers and workers write to stderr: one line a record, as text or as JSON.

1. A log that cannot be written stops nothing. On a full disk, into a closed stream, into a pipe
   without a reader or one that does not read, lines are lost and counted, and no call blocks.
2. Text from other machines stays in its line: what a terminal would obey is escaped. A value that
   raises when it is formatted ends no call of a logger.
3. Our own lines that repeat are folded into one with a count; the first is always written at once.

Lines go through `logging`, from the loggers `raftwork.*`, and from those of a worker's tasks.
"""

import dataclasses
import io
import json
import logging
import logging.config
import os
import re
import select
import sys
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Final, TextIO, cast

from raftwork.escapes import visible, visible_json
from raftwork.standard_streams import fill

if TYPE_CHECKING:
    from _typeshed import DataclassInstance, ReadableBuffer

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
FORMATS: Final = ("text", "json")

#: For so long (s) a repeated line is counted instead of written …
WINDOW_S: Final = 60
#: … if it is among so many; the oldest is forgotten first, and its count written.
LINES_MAX: Final = 256
#: What a pipe that takes anything takes without blocking (POSIX).
_PIPE_BYTES: Final = select.PIPE_BUF
_STDERR: Final = 2

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "fields", "fold"}


@dataclass(slots=True)
class _Speaker:
    """The name of this process and its epoch, for every line."""

    node: str = ""
    epoch: int | None = None


_speaker = _Speaker()


def speak_for(node: str) -> None:
    """This process is the broker or worker of that name."""
    _speaker.node = node


def in_epoch(epoch: int) -> None:
    """The broker is in this epoch from here on."""
    _speaker.epoch = epoch


class Plain(logging.StreamHandler[TextIO]):
    """On standard error, for commands that end soon, and until `start`."""


def start_plain() -> None:
    """Have what is logged written, unless the program that this is part of sees to that."""
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, handlers=[Plain()])


def start(
    level: str = "info", form: str = "text", config: Mapping[str, object] | None = None
) -> None:
    """Have all that is logged from here on, and the last words of a crash, written to stderr.

    `level` is a key of LEVELS, `form` one of FORMATS. `config` says it all in their place, as for
    `logging.config.dictConfig`, whose errors it raises. A program that has handlers of its own by
    now keeps them: our lines go to them.
    """
    fill()
    sys.stdout, sys.stderr = _unfailing(1, sys.stdout), _unfailing(_STDERR, sys.stderr)
    logging.raiseExceptions = False
    os.register_at_fork(after_in_child=_forget)
    sys.excepthook = _last_words
    if config is not None:
        logging.config.dictConfig(dict(config))
        speak_on()
    elif all(isinstance(each, Plain | Handler) for each in logging.getLogger().handlers):
        handler = Handler(json_lines=form == "json")
        logging.basicConfig(level=LEVELS[level], handlers=[handler], force=True)


def _own_handlers() -> Iterator["Handler"]:
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Handler):
            yield handler


def _forget() -> None:
    """This is a fork."""
    for handler in _own_handlers():
        handler.forget()


def speak_on() -> None:
    """Our loggers speak, though a program has set up its own logging meanwhile.

    By default `logging.config` disables every logger that is there, and a worker would go on
    without a word about failed tasks. Where their lines go, and from which level on, is the
    program's to say.
    """
    for name, logger in logging.root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and f"{name}.".startswith("raftwork."):
            logger.disabled = False


def write_to(descriptor: int) -> None:
    """Have Raftwork's own handler write there in place of standard error, in this process."""
    _written.to = descriptor


def say(line: str) -> None:
    """A line outside the log, for the program that started this process. It may be lost."""
    _put(f"{line}\n".encode(errors="backslashreplace"))


def pass_time() -> None:
    """Write the counts that are due, as anything that is logged does. For loops with a clock."""
    for handler in _own_handlers():
        handler.pass_time()


def alike(kind: str) -> dict[str, str]:
    """`extra` for a line that other machines can vary: all of this kind are folded into one."""
    return {"fold": kind}


#: Characters of an event's line or of a value in it, and values in a list of them.
_TEXT_MAX: Final = 2_000
_LISTED_MAX: Final = 100


def write_event(
    logger: logging.Logger,
    level: int,
    event: "DataclassInstance",
    extra: Mapping[str, object] | None = None,
) -> None:
    """Log a value whose text is the line; its fields are those of the record."""
    if not logger.isEnabledFor(level):
        return
    fields = {name: _cut(value) for name, value in dataclasses.asdict(event).items()}
    named: dict[str, object] = {"event": event_name(type(event)), **fields}
    logger.log(level, "%s", _cut(str(event)), extra={"fields": named, **(extra or {})})


def event_name(kind: type) -> str:
    """WorkerLost as `worker_lost`."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", kind.__name__).lower()


def _cut(value: object) -> object:
    """Cut texts: those from other machines may be as long as a frame."""
    if isinstance(value, tuple):
        return tuple(map(_cut, value[:_LISTED_MAX]))
    long = isinstance(value, str) and len(value) > _TEXT_MAX
    return f"{value:.{_TEXT_MAX}}…" if long else value


#: `extra` for a line that is to be written as often as it is logged.
UNFOLDED: Final[Mapping[str, str]] = {"fold": ""}


class Folding:
    """Which records are to be written, and the counts of those that are not. Times in seconds."""

    def __init__(self) -> None:
        self._runs: OrderedDict[tuple[str, int, str], _Run] = OrderedDict()  # as they began

    def admit(self, record: logging.LogRecord, now: float) -> Iterator[logging.LogRecord]:
        """What to write when this record comes."""
        yield from self.due(now)
        text = _message(record)
        kind = getattr(record, "fold", None)
        if kind == "" or not f"{record.name}.".startswith("raftwork."):
            yield record  # what tasks log is theirs
            return
        key = (record.name, record.levelno, text if kind is None else f"\0{kind}")
        run = self._runs.get(key)
        if run is not None:
            run.repeats += 1
            run.text = text
            return
        self._runs[key] = _Run(now, record.name, record.levelno, kind is not None)
        yield record
        if len(self._runs) > LINES_MAX:
            yield from self._end(next(iter(self._runs)), now)

    @property
    def due_at(self) -> float:
        """When the next count may have to be written."""
        for run in self._runs.values():
            return run.began + WINDOW_S
        return inf

    def due(self, now: float) -> Iterator[logging.LogRecord]:
        """The counts that are due."""
        while self._runs:
            key, run = next(iter(self._runs.items()))
            if now - run.began < WINDOW_S:
                return
            yield from self._end(key, now)

    def rest(self, now: float) -> Iterator[logging.LogRecord]:
        """Every count there is, before the end."""
        while self._runs:
            yield from self._end(next(iter(self._runs)), now)

    def _end(self, key: tuple[str, int, str], now: float) -> Iterator[logging.LogRecord]:
        run = self._runs.pop(key)
        if run.repeats:
            yield run.summary(now)


@dataclass(slots=True)
class _Run:
    """A line that was written, and may come again."""

    began: float
    logger: str
    level: int
    alike: bool
    repeats: int = 0
    text: str = ""  # of the last one

    def summary(self, now: float) -> logging.LogRecord:
        seconds = max(1, round(now - self.began))
        n = self.repeats
        how = f"{n} more like this" if self.alike else f"repeated {n} time{'s'[: n > 1]}"
        text = f"{self.text} ({how} in {seconds} s)"
        record = logging.LogRecord(self.logger, self.level, "", 0, text, None, None)
        record.fields = {"repeated": n, "seconds": seconds}
        return record


class Handler(logging.Handler):
    """Writes to stderr, whatever `sys.stderr` is."""

    def __init__(self, *, json_lines: bool = False) -> None:
        super().__init__()
        self._line = _json_line if json_lines else _text_line
        self._folding = Folding()
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, unless it is folded into a count of repetitions."""
        for each in self._folding.admit(record, time.monotonic()):
            self._write(each)

    def pass_time(self) -> None:
        """Write the counts that are due."""
        if time.monotonic() >= self._folding.due_at:
            self._write_all(self._folding.due)

    def forget(self) -> None:
        """Drop the counts: this is a fork, and the original process reports them."""
        self._folding, self._lost = Folding(), 0

    def close(self) -> None:
        """Write the remaining counts, and close."""
        self._write_all(self._folding.rest)
        super().close()

    def _write_all(self, counts: Callable[[float], Iterator[logging.LogRecord]]) -> None:
        self.acquire()
        try:
            for each in counts(time.monotonic()):
                self._write(each)
        finally:
            self.release()

    def _write(self, record: logging.LogRecord) -> None:
        if self._lost:
            lines = "line" if self._lost == 1 else "lines"
            text = f"{self._lost} {lines} of this log could not be written"
            if not self._put(_record(logging.WARNING, text)):
                self._lost += 1
                return
            self._lost = 0
        if not self._put(record):
            self._lost += 1

    def _put(self, record: logging.LogRecord) -> bool:
        try:
            line = self._line(record)
        except Exception as error:  # noqa: BLE001 - a task's values may raise anything
            text = f"a record of {record.name!r} could not be written: {type(error).__name__}"
            line = self._line(
                logging.LogRecord("raftwork.log", record.levelno, "", 0, text, (), None)
            )
        return _put(f"{line}\n".encode(errors="backslashreplace"))


def _record(level: int, text: str) -> logging.LogRecord:
    """Of the log about itself."""
    return logging.LogRecord("raftwork.log", level, "", 0, text, None, None)


@dataclass(slots=True)
class _Written:
    """What stderr has taken."""

    #: It ends within a line, of which the rest is lost.
    torn: bool = False
    #: Which descriptor that is.
    to: int = _STDERR


_written = _Written()


def _put(data: bytes) -> bool:
    """Write to stderr what it takes at once; whether that was all."""
    view = memoryview(b"\n" + data if _written.torn else data)
    poll = select.poll()
    poll.register(_written.to, select.POLLOUT)
    try:
        while view:
            if not poll.poll(0):
                return False  # a full pipe, a terminal that is held: to write would be to wait
            view = view[os.write(_written.to, view[:_PIPE_BYTES]) :]
            _written.torn = bool(view)
    except OSError:
        return False
    return True


class _Unfailing(io.RawIOBase):
    """A standard stream for what is not logged, such as tasks' prints: it waits, but never fails.

    What was written after a failure would fail again at every flush, the last one at the exit.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: "ReadableBuffer", /) -> int:
        view = memoryview(data).cast("B")
        size = len(view)
        with suppress(OSError):
            while view:
                view = view[os.write(self._descriptor, view) :]
        return size


def _unfailing(descriptor: int, found: object) -> io.TextIOWrapper:
    """As Python made the one that is there: PYTHONUNBUFFERED and PYTHONIOENCODING are obeyed.

    Else buffered as usual: lines of stderr and to terminals, else blocks.
    """
    raw: io.RawIOBase = _Unfailing(descriptor)
    lines = descriptor == _STDERR or os.isatty(descriptor)
    if not isinstance(found, io.TextIOWrapper):
        return io.TextIOWrapper(io.BufferedWriter(raw), line_buffering=lines)
    at_once = found.write_through
    return io.TextIOWrapper(
        cast("BinaryIO", raw) if at_once else io.BufferedWriter(raw),
        encoding=found.encoding,
        errors=found.errors,
        line_buffering=lines,
        write_through=at_once,
    )


def _last_words(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if not issubclass(kind, Exception):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("raftwork").critical("ended by an error", exc_info=(kind, error, trace))


# ---- one record as a line ---------------------------------------------------------------------


def _message(record: logging.LogRecord) -> str:
    try:
        return str(record.getMessage())
    except Exception:  # noqa: BLE001 - a task's faulty call, or a value without a string
        return f"{_text(record.msg)} (its arguments do not fit)"


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - as above
        return f"<{type(value).__name__} without a text>"


def _when(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _trace(record: logging.LogRecord) -> str:
    trace = ""
    if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
        trace = "".join(traceback.format_exception(record.exc_info[1]))
    return f"{trace}{record.stack_info or ''}".rstrip("\n")


def _text_line(record: logging.LogRecord) -> str:
    epoch = "" if _speaker.epoch is None else f" epoch={_speaker.epoch}"
    task = f" task={vars(record)['task_id']}" if "task_id" in vars(record) else ""
    head = f"{_when(record)} {record.levelname} {_speaker.node or '-'}{epoch}{task} {record.name}"
    lines = [f"{visible(head)}: {visible(_message(record))}"]
    lines += [f"  | {visible(line)}" for line in _trace(record).splitlines()]
    return "\n".join(lines)


def _json_line(record: logging.LogRecord) -> str:
    fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    own = getattr(record, "fields", {})
    fields |= own if isinstance(own, dict) else {"fields": own}
    document = {
        "ts": _when(record),
        "level": record.levelname.lower(),
        "logger": record.name,
        "node": _speaker.node,
        "epoch": _speaker.epoch,
        "message": _message(record),
        "fields": fields,
    }
    if trace := _trace(record):
        document["exception"] = trace
    try:
        line = json.dumps(document, ensure_ascii=False, allow_nan=False, default=_text)
    except Exception:  # noqa: BLE001 - a task's `extra` holds what JSON has no way to write
        document["fields"] = {_text(name): _text(value) for name, value in fields.items()}
        line = json.dumps(document, ensure_ascii=False)
    return visible_json(line)
