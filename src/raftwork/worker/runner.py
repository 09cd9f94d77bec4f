"""Runs one task: bytes in, bytes out. Whatever the code does, short of ending the process, is an
outcome and never an exception here.
"""

import asyncio
import concurrent.futures
import inspect
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import copy_context
from math import ceil
from types import FrameType
from typing import NamedTuple, ParamSpec, TypeVar, cast

from raftwork.attempt_ends import RateLimited, Reject, Replacement, Resume, Retry
from raftwork.durations import DURATION_MAX_S, RETRY_AFTER_MAX_S
from raftwork.errors import BadMessage
from raftwork.exception_names import kinds_of
from raftwork.messages import (
    NAME_MAX,
    TIME_LIMIT_KINDS,
    Failure,
    LimitReached,
    Loss,
    Outcome,
    PushedTask,
    ResumeAsked,
    RetryAsked,
    decode_spec,
    encode_failure,
    is_retried,
)
from raftwork.messages.failures import Grown
from raftwork.messages.flow_values import filled
from raftwork.serialization import pack_result
from raftwork.signatures import Binder, binder, misfit
from raftwork.wire import unpack
from raftwork.worker.context import Context, running, task_of_this_code
from raftwork.worker.following import followed
from raftwork.worker.forked_copies import ends_copies
from raftwork.worker.notices import NO_NOTICES, Notices
from raftwork.worker.task_notes import NOWHERE, Notes

#: Of a traceback, its first and last halves; of a message the first so many characters.
TRACEBACK_MAX = 64 * 1024
MESSAGE_MAX = 16 * 1024
#: Between two looks of a coroutine's loop whether it is asked to end, s.
_LOOK_S = 0.01
#: Names listed when a task is unknown.
_NAMES_MAX = 20

_NO_CALL = "a task's payload is [arguments, keyword arguments]"

Function = Callable[..., object]
Registry = Mapping[str, Function]
P = ParamSpec("P")
T = TypeVar("T")


class Ended(NamedTuple):
    """A task's code is over. `elapsed` is its run time in nanoseconds, (un)packing included."""

    outcome: Outcome
    elapsed: int


class _Call(NamedTuple):
    function: Function
    args: list[object]
    kwargs: dict[str, object]


def _each(function: Function, *, star: bool) -> Function:
    """A function of items that calls this one for each, in order; with `star` an item is a call."""

    def call(item: object) -> object:
        return function(*cast("Sequence[object]", item)) if star else function(item)

    def call_each(*items: object) -> list[object]:
        return [call(item) for item in items]

    async def await_each(*items: object) -> list[object]:
        return [await cast("Awaitable[object]", call(item)) for item in items]

    return await_each if inspect.iscoroutinefunction(function) else call_each


def _mapped(besides: Sequence[object]) -> object | None:
    """How the function is called for each of its arguments; None if it is called once."""
    kind: object = None
    match besides:
        case [{"map": kind}]:
            pass
    return kind


class UnknownFunction(Exception):
    """The worker's App has no task of that name."""


class WrongArguments(Exception):
    """The function cannot be called with these: it never began, and never will."""


class Runner:
    """Runs tasks of one registry, for one thread or one event loop at a time.

    `worker` is the name that `current().worker` shows.
    """

    def __init__(
        self, registry: Registry, worker: str, notices: Notices = NO_NOTICES, notes: Notes = NOWHERE
    ) -> None:
        """`notices` are what the tasks' code is to heed, `notes` where it leaves what it says."""
        self._notices = notices
        self._registry = registry
        self._worker = worker
        self._notes = notes
        self._binders: dict[str, Binder | None] = {}  # of the tasks that were run so far
        self._loop: asyncio.Runner | None = None

    def run(self, task: PushedTask) -> Ended:
        """Run it here; a coroutine function runs in an event loop of this thread."""
        began = time.monotonic_ns()
        block = running(lambda: self._context(task))
        try:
            with ends_copies(), block, followed():
                call = self._call(task)
                value = call.function(*call.args, **call.kwargs)
                if inspect.iscoroutine(value):
                    value = self._complete(value, task.token)
                outcome = _returned(task.token, value, block.spawned)
        except BaseException as error:  # noqa: BLE001 - SystemExit too ends the task, not the worker
            outcome = failed(task, error, block.log, block.trace)
        return Ended(outcome, time.monotonic_ns() - began)

    async def run_async(self, task: PushedTask) -> Ended:
        """Run it in the running loop; a plain function runs in a thread of its own.

        Cancelling stops a coroutine. A function cannot be stopped: this returns once it has ended.
        """
        began = time.monotonic_ns()
        block = running(lambda: self._context(task), asyncio.current_task())
        try:
            if not self.is_async(task):
                return await in_thread(self._alike().run_once, task)
            with ends_copies(), block as scope, followed():
                call = self._call(task)
                try:
                    value = await cast(
                        "Awaitable[object]", call.function(*call.args, **call.kwargs)
                    )
                finally:
                    if scope.exit is not None:
                        raise scope.exit
                outcome = _returned(task.token, value, block.spawned)
        except BaseException as error:  # noqa: BLE001 - as above
            outcome = failed(task, error, block.log, block.trace)
        return Ended(outcome, time.monotonic_ns() - began)

    def run_once(self, task: PushedTask) -> Ended:
        """`run` and `close`."""
        try:
            return self.run(task)
        finally:
            self.close()

    def is_async(self, task: PushedTask) -> bool:
        """Whether `run_async` runs it as a coroutine."""
        try:
            function = self._registry.get(decode_spec(task.spec).name)
        except BadMessage:
            return False  # running it will say so
        return inspect.iscoroutinefunction(function)

    def _alike(self) -> "Runner":
        return Runner(self._registry, self._worker, self._notices, self._notes)

    def close(self) -> None:
        """Close the event loop, if one was made."""
        if self._loop is not None:
            self._loop.close()
            self._loop = None

    def _context(self, task: PushedTask) -> Context:
        worker, notices, notes = self._worker, self._notices, self._notes
        return Context(task.id, task.token, task.attempt, worker, task, notices, notes)

    def _call(self, task: PushedTask) -> _Call:
        name = decode_spec(task.spec).name
        function = self._registry.get(name)
        if function is None:
            raise UnknownFunction(_unknown(name, self._registry))
        inputs = task.about.inputs if task.about is not None else ()
        value = filled(task.payload, dict(inputs)) if inputs else unpack(task.payload)
        # No `match`: its patterns take longer than all else that a plain call costs here.
        if type(value) is not list or len(value) < 2:
            raise BadMessage(_NO_CALL)
        args, kwargs, *besides = value
        if type(args) is not list or type(kwargs) is not dict:
            raise BadMessage(_NO_CALL)
        if besides and (kind := _mapped(besides)) is not None:
            return _Call(_each(function, star=kind == "star"), args, kwargs)
        if kwargs and not all(type(key) is str for key in kwargs):
            raise BadMessage(_NO_CALL)
        if name not in self._binders:
            self._binders[name] = binder(function)
        if (why := misfit(self._binders[name], args, kwargs)) is not None:
            raise WrongArguments(why)
        return _Call(function, args, kwargs)

    def _complete(self, coroutine: Coroutine[object, object, T], token: int) -> T:
        if self._loop is None:
            self._loop = asyncio.Runner()
        try:
            with ends_copies():  # an exit in another task of the loop leaves it here
                watched = _watched(coroutine, lambda: self._notices.cancelled(token))
                return self._loop.run(watched, context=copy_context())
        finally:
            self._tidy(self._loop)

    def _tidy(self, loop: asyncio.Runner) -> None:
        """As asyncio.run would: what one task leaves running must not run on inside the next."""
        try:
            loop.run(cancel_others())
        except BaseException:
            self._loop = None  # with what it did not let go of
            loop.get_loop().close()
            raise


def _returned(token: int, value: object, spawned: bytes) -> Outcome:
    """The outcome of code that returned this, and spawned these: a packed graph, or nothing."""
    if type(value) is Replacement:
        return Outcome(token, False, encode_failure(Grown(b"", spawned, value.graph)))
    packed = pack_result(value)
    if not spawned:
        return Outcome(token, True, packed)
    return Outcome(token, False, encode_failure(Grown(packed, spawned, b"")))


async def _watched(coroutine: Coroutine[object, object, T], asked: Callable[[], bool]) -> T:
    """Cancel it once it is asked to end: who asks is in another thread, or another process."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    next_look: asyncio.TimerHandle

    def look() -> None:
        nonlocal next_look
        if asked():
            task.cancel()
        else:
            next_look = loop.call_later(_LOOK_S, look)

    next_look = loop.call_later(_LOOK_S, look)
    try:
        with ends_copies():  # a copy must not go on with what else the loop has
            return await coroutine
    finally:
        next_look.cancel()


async def cancel_others() -> None:
    """Cancel everything else that this loop runs, and wait for its end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others)


async def in_thread(code: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `code` in a thread of its own. A cancellation is raised once it has ended.

    The thread is a daemon, unlike an executor's: code that cannot be stopped must not keep the
    process from ending.
    """
    result: concurrent.futures.Future[T] = concurrent.futures.Future()

    def work() -> None:
        try:
            result.set_result(code(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the caller
            result.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    waiting = asyncio.wrap_future(result)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        await asyncio.wait([waiting])  # its slot is taken until then
        raise


def failed(task: PushedTask, error: BaseException, log: str = "", trace: bytes = b"") -> Outcome:
    """The outcome of code that raised `error`, even if formatting that raises again.

    `log` are the last lines that it logged, `trace` what it left for a tracer of the next attempt.
    """
    token, kind = task.token, type(error)
    if kind is UnknownFunction:
        return failure(token, "UnknownTask", str(error), unknown=True)
    if kind is WrongArguments:
        return failure(token, "TypeError", str(error))._replace(final=True)
    if issubclass(kind, Resume):
        return Outcome(token, False, encode_failure(ResumeAsked()))
    if issubclass(kind, RateLimited) and (reached := _reached(error)) is not None:
        return Outcome(token, False, encode_failure(reached))
    words = _in_words(kind_of(error), message_of(error), _traceback(error))
    words = words._replace(log=log, trace=trace)
    if issubclass(kind, Retry):
        asked = _asked(error)
        if asked is not None:
            return Outcome(token, False, encode_failure(RetryAsked(asked, *words)))
        return Outcome(token, False, encode_failure(words))
    return Outcome(token, False, encode_failure(words), final=_is_final(task, error))


def comes_again(error: BaseException) -> bool:
    """Whether another attempt follows this one, which raised `error`, as far as a worker can tell.

    It does not know how many of the attempts before were lost rather than failed: so a task of
    which some were may have another one all the same. False outside a task.
    """
    context = task_of_this_code()
    task = None if context is None else context._task  # noqa: SLF001 - it is ours, for no user
    if task is None:
        return False
    kind, spec = type(error), decode_spec(task.spec)
    if kind is UnknownFunction:
        return True  # on a worker that knows it
    if kind is WrongArguments or spec.at_most_once:
        return False
    if issubclass(kind, Resume | RateLimited):
        return True
    if not issubclass(kind, Retry) and _is_final(task, error):
        return False
    return task.attempt <= spec.retries


def _is_final(task: PushedTask, error: BaseException) -> bool:
    return issubclass(type(error), Reject) or not _is_retried(task.spec, kinds_of(error))


def _reached(error: BaseException) -> LimitReached | None:
    """What a RateLimited asks for. What is derived from it may say anything."""
    try:
        said = vars(error)
        after, limit = said.get("retry_after"), said.get("limit") or ""
        if (
            isinstance(after, int | float)
            and 0 <= after <= RETRY_AFTER_MAX_S
            and type(limit) is str
        ):
            message = _text(message_of(error), MESSAGE_MAX)
            return LimitReached(ceil(after * 1000), _text(limit, NAME_MAX), message)
    except BaseException:  # noqa: BLE001 - a user's method may raise anything
        return None
    return None


def _asked(error: BaseException) -> int | None:
    """The pause that a Retry asks for, ms. What is derived from it may say anything."""
    try:
        after: object = vars(error).get("after")
        if isinstance(after, int | float) and 0 <= after <= DURATION_MAX_S:
            return ceil(after * 1000)
    except BaseException:  # noqa: BLE001 - a user's method may raise anything
        return None
    return None


def _is_retried(packed: bytes, kinds: Sequence[str]) -> bool:
    try:
        return is_retried(decode_spec(packed), kinds)
    except BadMessage:
        return True


def failure(
    token: int, kind: str, message: str, trace: str = "", *, unknown: bool = False
) -> Outcome:
    """An outcome without a value. Texts are cut to their limits and made valid UTF-8."""
    return Outcome(token, False, encode_failure(_in_words(kind, message, trace)), unknown)


def _in_words(kind: str, message: str, trace: str) -> Failure:
    return Failure(
        _text(kind, MESSAGE_MAX), _text(message, MESSAGE_MAX), _text(trace, TRACEBACK_MAX)
    )


def overtime(task: PushedTask, text: str) -> Outcome:
    """The outcome of a task whose code ran longer than its time limit."""
    final = not _is_retried(task.spec, TIME_LIMIT_KINDS)
    return failure(task.token, "TimeLimitExceeded", text)._replace(final=final)


def lost(token: int, loss: Loss) -> Outcome:
    """The outcome of a task after its process has died."""
    text = f"the process that ran it {how(loss)}"
    return failure(token, "ProcessDied", text)._replace(loss=loss)


def how(loss: Loss) -> str:
    """How a process ended, as the rest of a sentence."""
    if loss.signal is None:
        return f"exited with status {loss.exit}"
    return f"was killed by signal {loss.signal}"


def kind_of(error: BaseException) -> str:
    """The name of its class."""
    return _shown(lambda: _QUALNAME(type(error)), "name")


def message_of(error: BaseException) -> str:
    """Its text."""
    return _shown(lambda: str(error), "text")


def _traceback(error: BaseException) -> str:
    def make() -> str:
        frames = error.__traceback__
        while frames is not None and _ours(frames.tb_frame):
            frames = frames.tb_next
        return "".join(traceback.format_exception(type(error), error, frames))

    return _shown(make, "traceback")


#: Past whatever a metaclass puts in its place.
_QUALNAME: Callable[[type], str] = type.__dict__["__qualname__"].__get__


def _shown(make: Callable[[], str], what: str) -> str:
    """A text that a user's exception makes; a failure to make it must not cost the slot.

    Of a subclass of str only the characters are taken: its methods are a user's, too.
    """
    try:
        return str.__str__(make())
    except BaseException as broken:  # noqa: BLE001 - a user's method may raise anything
        return f"<its {what} could not be made: {_QUALNAME(type(broken))}>"


_OURS = (__name__, f"{__package__}.hook_calls", f"{__package__}.typed_tasks")


def _ours(frame: FrameType) -> bool:
    """Whether it belongs to what runs the task rather than to the task."""
    module = str(frame.f_globals.get("__name__"))
    return module in _OURS or module.startswith("asyncio.")


def _text(text: str, limit: int) -> str:
    """Valid UTF-8 of at most `limit` bytes: head and tail of what was longer."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) > limit:
        half = limit // 2 - 16
        data = data[:half] + b"\n... (cut) ...\n" + data[-half:]
    return data.decode("utf-8", "ignore")


def _unknown(name: str, registry: Registry) -> str:
    known = sorted(name for name in registry if not name.startswith("raftwork."))
    more = f", and {len(known) - _NAMES_MAX} more" if len(known) > _NAMES_MAX else ""
    listed = ", ".join(known[:_NAMES_MAX]) or "none"
    return f"this worker has no task {name!r}; it knows {listed}{more}"
