"""A worker gives a task what its annotations say, and sends on what it returns."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from raftwork import App
from raftwork.hooks import Hooks
from raftwork.messages import (
    Failure,
    Outcome,
    PushedTask,
    Spec,
    decode_failure,
    encode_spec,
)
from raftwork.wire import pack, unpack
from raftwork.worker.hook_calls import hooked
from raftwork.worker.loader import functions
from raftwork.worker.runner import Runner
from raftwork.worker.typed_tasks import typed

DAY = "2027-01-01"


@dataclass
class Trip:
    day: date
    places: set[str]


def outcome_of(
    function: Callable[..., object], *args: object, hooks: Hooks | None = None, **kwargs: object
) -> Outcome:
    app = App(brokers="127.0.0.1:1")
    app.task(name="t")(function)
    registry = typed(hooked(functions(app.tasks), hooks or Hooks()), app.tasks)
    task = PushedTask(7, "id", 1, encode_spec(Spec("t", "default")), pack([args, kwargs]))
    return Runner(registry, "w").run_once(task).outcome


def failure_of(function: Callable[..., object], *args: object) -> tuple[Failure, bool]:
    outcome = outcome_of(function, *args)
    assert not outcome.ok
    return decode_failure(outcome.data), outcome.final


def next_day(day: date, *, trip: Trip) -> list[Trip]:
    assert type(day) is date and type(trip.places) is set
    return [Trip(date(2027, 1, 2), {"b", "a"})]


async def anext_day(day: date, *, trip: Trip) -> list[Trip]:
    return next_day(day, trip=trip)


def later(day: date, *, trip: Trip) -> Coroutine[Any, Any, list[Trip]]:
    return anext_day(day, trip=trip)


later.__annotations__["return"] = list[Trip]


@pytest.mark.parametrize("function", [next_day, anext_day, later])
def test_arguments_arrive_as_annotated_and_the_value_leaves_plain(
    function: Callable[..., object],
) -> None:
    outcome = outcome_of(function, DAY, trip={"day": DAY, "places": ["a"]})
    assert outcome.ok, decode_failure(outcome.data)
    assert unpack(outcome.data) == [{"day": "2027-01-02", "places": ["a", "b"]}]


def test_a_failing_conversion_is_final_and_the_code_never_begins() -> None:
    began: list[object] = []
    hooks = Hooks()
    hooks.task_start(lambda: began.append("hook"))

    def run(day: date) -> None:
        began.append(day)

    outcome = outcome_of(run, "soon", hooks=hooks)
    failure = decode_failure(outcome.data)
    assert (outcome.final, failure.type, failure.traceback) == (True, "TypeError", "")
    told = "argument 1 'day' of t: expected date, got str 'soon' (ValueError: "
    assert failure.message.startswith(told)
    assert began == []


def test_a_value_that_is_not_as_annotated_fails_the_attempt() -> None:
    def wrong() -> date:
        return 3  # type: ignore[return-value]

    failure, final = failure_of(wrong)
    assert failure.message == "the result of t: expected date, got int 3"
    assert (failure.type, final) == ("NotSerializable", False)


def test_a_traceback_is_of_the_tasks_code_alone() -> None:
    def broken(day: date) -> None:
        raise ValueError(str(day))

    failure, _ = failure_of(broken, DAY)
    assert failure.message == DAY
    assert failure.traceback.count("File ") == 1


def test_arguments_that_do_not_fit_are_told_in_pythons_words() -> None:
    failure, final = failure_of(next_day, DAY, 3)
    assert final
    assert failure.message.startswith("next_day() takes 1 positional argument but 2")


def test_a_plain_task_stays_the_function_that_it_is() -> None:
    app = App(brokers="127.0.0.1:1")

    @app.task(name="t")
    def plain(x: int, y: list[int] | None = None) -> dict[str, int]:
        return {}

    registry = functions(app.tasks)
    assert typed(registry, app.tasks)["t"] is registry["t"] is plain.function


def test_what_is_no_task_of_an_app_is_left_alone() -> None:
    def function(day: date) -> None: ...

    assert typed({"t": function}, {"t": function}) == {"t": function}
