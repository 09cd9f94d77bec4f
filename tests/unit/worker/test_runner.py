"""Running one task: every end is an outcome."""

import asyncio
import math
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import pytest

from raftwork import RateLimited, Reject, Resume, Retry
from raftwork.errors import NotSerializable, PayloadTooLarge
from raftwork.instruments import Instrument, install, remove
from raftwork.messages import (
    PAYLOAD_MAX,
    Failure,
    LimitReached,
    Outcome,
    PushedTask,
    ResumeAsked,
    RetryAsked,
    Spec,
    decode_ending,
    decode_failure,
    encode_spec,
)
from raftwork.serialization import pack_result
from raftwork.wire import pack, unpack
from raftwork.worker import context
from raftwork.worker.following import leave_trace
from raftwork.worker.runner import TRACEBACK_MAX, Runner, WrongArguments, comes_again


class Colour(IntEnum):
    RED = 1


def job(*args: object, **kwargs: object) -> PushedTask:
    return PushedTask(7, "id", 2, encode_spec(Spec("t", "default")), pack([args, kwargs]))


def value_of(function: Callable[..., object], *args: object, **kwargs: object) -> object:
    runner = Runner({"t": function}, "w")
    outcome = runner.run_once(job(*args, **kwargs)).outcome
    assert outcome.ok and outcome.token == 7
    return unpack(outcome.data)


def failure_of(function: Callable[..., object], *args: object) -> Failure:
    outcome = Runner({"t": function}, "w").run_once(job(*args)).outcome
    assert not outcome.ok
    return decode_failure(outcome.data)


def test_arguments_arrive_and_the_value_leaves() -> None:
    def spread(x: int, *, y: bytes) -> object:
        return {"x": x, "y": [y, None, (1.5, True)]}

    assert value_of(spread, 2**63, y=b"\0") == {"x": 2**63, "y": [b"\0", None, [1.5, True]]}


def test_a_task_that_does_not_ask_who_it_is_has_no_context_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor is anything else made for it that only some tasks use."""
    made: list[object] = []
    monkeypatch.setattr(Runner, "_context", lambda *task: made.append(task))
    monkeypatch.setattr(context, "_Children", lambda: made.append("children"))
    assert value_of(lambda: 1) == 1
    assert made == []


def test_a_coroutine_function_runs_in_a_loop() -> None:
    async def double(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    assert value_of(double, 21) == 42


def test_what_a_coroutine_leaves_running_is_cancelled_before_the_next_task() -> None:
    ended = []

    async def leave() -> None:
        async def linger() -> None:
            try:
                await asyncio.sleep(3_600)
            finally:
                ended.append("cancelled")

        leave.kept = asyncio.create_task(linger())  # type: ignore[attr-defined]
        await asyncio.sleep(0)

    runner = Runner({"t": leave}, "w")
    runner.run(job())

    assert ended == ["cancelled"]
    runner.close()


def test_an_exception_becomes_a_failure_with_the_users_traceback_only() -> None:
    def fail() -> None:
        raise ValueError("nope")

    failed = failure_of(fail)

    assert (failed.type, failed.message) == ("ValueError", "nope")
    assert "in fail" in failed.traceback
    assert "/runner.py" not in failed.traceback


def test_so_does_one_of_a_coroutine() -> None:
    async def fail() -> None:
        raise ValueError("nope")

    failed = failure_of(fail)

    assert "in fail" in failed.traceback
    assert "asyncio" not in failed.traceback


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_even_exits_are_failures_of_the_task(error: BaseException) -> None:
    def leave() -> None:
        raise error

    assert failure_of(leave).type == type(error).__name__


def test_an_exit_in_a_coroutine_is_one_too() -> None:
    async def leave() -> None:
        sys.exit(3)

    assert failure_of(leave).type == "SystemExit"


def test_an_exception_that_cannot_be_shown_is_still_a_failure() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("mute")

    def fail() -> None:
        raise Mute

    assert "RuntimeError" in failure_of(fail).message


def test_texts_are_bounded_and_valid() -> None:
    def fail() -> None:
        raise ValueError("\udc80" + "x" * 10**6)

    failed = failure_of(fail)

    assert failed.message.startswith("\\udc80")
    assert len(failed.message.encode()) < TRACEBACK_MAX
    assert len(failed.traceback.encode()) <= TRACEBACK_MAX


def test_an_unknown_task_names_the_known_ones() -> None:
    outcome = Runner({"shop.pay": print}, "w").run(job()).outcome

    failed = decode_failure(outcome.data)
    assert failed.type == "UnknownTask"
    assert "'t'" in failed.message
    assert "shop.pay" in failed.message


@pytest.mark.parametrize("asynchronous", [False, True])
def test_arguments_that_do_not_fit_fail_for_good_in_pythons_words(asynchronous: bool) -> None:
    began = []

    def send(to: str, body: str) -> None:
        began.append(to)

    async def asend(to: str, body: str) -> None:
        began.append(to)

    function: Callable[..., object] = asend if asynchronous else send
    runner = Runner({"t": function}, "w")
    for ended in (runner.run_once(job("x")), asyncio.run(runner.run_async(job("x")))):
        assert ended.outcome.final
        failure = decode_failure(ended.outcome.data)
        assert failure.type == "TypeError"
        assert failure.message.endswith("send() missing 1 required positional argument: 'body'")
    assert not began


def test_a_type_error_of_the_code_may_be_tried_again() -> None:
    def add(x: int) -> int:
        return x + "1"  # type: ignore[operator]

    assert not Runner({"t": add}, "w").run_once(job(1)).outcome.final


@pytest.mark.parametrize("payload", [b"", b"\xc1", pack(1), pack([[1]]), pack([[], {1: 2}])])
def test_a_payload_that_is_none_is_a_failure(payload: bytes) -> None:
    task = job()._replace(payload=payload)

    outcome = Runner({"t": print}, "w").run(task).outcome

    assert decode_failure(outcome.data).type == "BadMessage"


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (object(), "object"),
        ([{"a": {1, 2}}], "set"),
        ({1: 2}, "int"),
        (Colour.RED, "Colour"),
        (2**64, "more than 64 bits"),
        (bytearray(b"x"), "bytearray"),
    ],
)
def test_a_value_the_wire_cannot_carry_is_refused_by_type(value: object, named: str) -> None:
    with pytest.raises(NotSerializable, match=f"{named}.*; plain values can .*by an annotation"):
        pack_result(value)


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[object] = []
    value.append(value)

    with pytest.raises(NotSerializable, match="nested"):
        pack_result(value)


def test_a_value_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(NotSerializable):
        pack_result("\ud800")


def test_a_value_over_the_limit_is_refused_with_both_sizes() -> None:
    with pytest.raises(PayloadTooLarge, match=f"{PAYLOAD_MAX + 5}.*{PAYLOAD_MAX}: store it else"):
        pack_result(bytes(PAYLOAD_MAX))


def test_odd_floats_are_carried() -> None:
    assert math.isnan(float(str(unpack(pack_result(math.nan)))))


def test_current_is_the_task_while_it_runs() -> None:
    def show() -> list[object]:
        now = context.current()
        return [now.id, now.token, now.attempt, now.worker]

    async def show_async() -> list[object]:
        return show()

    assert value_of(show) == ["id", 7, 2, "w"]
    assert value_of(show_async) == ["id", 7, 2, "w"]
    with pytest.raises(RuntimeError, match="outside a task"):
        context.current()


def test_a_plain_function_does_not_hold_up_the_loop() -> None:
    async def main() -> object:
        release = asyncio.Event()
        loop = asyncio.get_running_loop()

        def wait_for_loop() -> str:
            asyncio.run_coroutine_threadsafe(set_it(), loop).result(10)
            return context.current().id

        async def set_it() -> None:
            release.set()

        runner = Runner({"t": wait_for_loop}, "w")
        ended = await runner.run_async(job())
        assert release.is_set()
        return unpack(ended.outcome.data)

    assert asyncio.run(main()) == "id"


def outcome_of(function: Callable[..., object], **options: object) -> Outcome:
    spec = encode_spec(Spec("t", "default", **options))  # type: ignore[arg-type]
    return (
        Runner({"t": function}, "w").run_once(PushedTask(7, "id", 2, spec, pack([[], {}]))).outcome
    )


def raising(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("options", "error", "final"),
    [
        ({}, ValueError(), False),
        ({"retry_on": ("builtins.OSError",)}, ConnectionError(), False),
        ({"retry_on": ("builtins.OSError",)}, ValueError(), True),
        ({"no_retry_on": ("builtins.OSError",)}, ConnectionError(), True),
        ({"no_retry_on": ("builtins.ValueError",)}, Retry(), False),
        ({}, Reject("why"), True),
    ],
)
def test_the_options_say_after_which_errors_none_is_tried_again(
    options: dict[str, object], error: Exception, final: bool
) -> None:
    assert outcome_of(raising(error), **options).final is final


def test_a_retry_says_when_and_keeps_what_went_wrong() -> None:
    def fail() -> None:
        raise Retry(after=0.0301) from OSError("busy")

    outcome = outcome_of(fail)
    asked = decode_ending(outcome.data)
    assert isinstance(asked, RetryAsked) and asked.after == 31
    assert "OSError: busy" in asked.traceback and not outcome.final


def test_an_attempt_that_is_to_go_on_elsewhere_says_so() -> None:
    assert decode_ending(outcome_of(raising(Resume())).data) == ResumeAsked()


def test_a_limit_that_is_used_up_is_told_with_the_pause() -> None:
    asked = decode_ending(outcome_of(raising(RateLimited("429", retry_after=0.0301))).data)
    assert asked == LimitReached(31, "", "429")
    asked = decode_ending(outcome_of(raising(RateLimited(retry_after=5, limit="stripe"))).data)
    assert asked == LimitReached(5_000, "stripe", "the rate of stripe is used up for 5 s")


def test_a_derived_one_may_say_nonsense_too() -> None:
    class Odd(RateLimited):
        def __init__(self) -> None:
            self.retry_after = "soon"  # type: ignore[assignment]

    assert decode_failure(outcome_of(raising(Odd())).data).type.endswith("Odd")

    class Long(RateLimited):
        def __init__(self) -> None:
            self.retry_after = 10**9

    assert decode_failure(outcome_of(raising(Long())).data).type.endswith("Long")


def test_a_derived_retry_may_say_nonsense() -> None:
    class Odd(Retry):
        def __init__(self) -> None:
            self.after = "soon"  # type: ignore[assignment]

        @property
        def __dict__(self) -> dict[str, object]:  # type: ignore[override]
            raise RuntimeError

    assert isinstance(decode_ending(outcome_of(raising(Odd())).data), Failure)


@pytest.mark.parametrize(
    ("error", "spec", "again"),
    [
        (ValueError(), {"retries": 2}, True),  # this is the second attempt
        (ValueError(), {"retries": 1}, False),
        (ValueError(), {"retries": 2, "at_most_once": True}, False),
        (ValueError(), {"retries": 2, "no_retry_on": ["builtins.ValueError"]}, False),
        (KeyError(), {"retries": 2, "retry_on": ["builtins.OSError"]}, False),
        (Reject("no"), {"retries": 2}, False),
        (Retry(after=1), {"retries": 2, "retry_on": ["builtins.OSError"]}, True),
        (Retry(after=1), {"retries": 1}, False),
        (Resume(), {}, True),
        (RateLimited(retry_after=1), {}, True),
        (RateLimited(retry_after=1), {"at_most_once": True}, False),
    ],
)
def test_a_worker_can_tell_whether_another_attempt_follows(
    error: Exception, spec: dict[str, Any], again: bool
) -> None:
    told: list[bool] = []

    def ask() -> None:
        told.append(comes_again(error))

    task = job()._replace(spec=encode_spec(Spec("t", "default", **spec)))
    assert Runner({"t": ask}, "w").run_once(task).outcome.ok
    assert told == [again]
    assert comes_again(error) is False  # of no task


def test_what_a_tracer_leaves_goes_with_a_failure_and_not_with_a_value() -> None:
    def fail() -> None:
        leave_trace(b"left")
        raise ValueError("no")

    assert failure_of(fail).trace == b"left"
    assert value_of(lambda: leave_trace(b"left")) is None
    leave_trace(b"outside")
    assert failure_of(lambda: 1 // 0).trace == b""


def test_an_instrument_sees_all_of_an_attempt() -> None:
    seen: list[object] = []

    class Sees:
        def __enter__(self) -> None:
            seen.append(context.current().id)

        def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
            seen.append(kind)

    async def give(x: object) -> object:
        return x

    instrument = Instrument(attempt=Sees)
    install(instrument)
    try:
        value_of(lambda: 1)
        value_of(give, 1)
        failure_of(lambda: 1 // 0)
        failure_of(lambda: object())  # which cannot be sent
        failure_of(lambda: 1, "an argument too many")
        asyncio.run(Runner({"t": give}, "w").run_async(job(1)))
        asyncio.run(Runner({"t": lambda: 2}, "w").run_async(job()))
    finally:
        remove(instrument)
    kinds = [None, None, ZeroDivisionError, NotSerializable, WrongArguments, None, None]
    assert seen == [each for kind in kinds for each in ("id", kind)]
