"""Arguments as they are annotated, before anything is sent; and values as they are read."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, assert_type, cast

import pytest

from raftwork import Converter, NotSerializable, Run
from raftwork.messages import Result, State
from raftwork.wire import pack
from tests.unit.client.cluster import app_and_cluster

NOW = datetime(2027, 1, 1, tzinfo=UTC)


@dataclass
class Order:
    at: datetime
    items: list[str]


def ship(order: Order, day: date | None = None, n: int = 1) -> Order:
    return order


def plain(x: Any, y: Any = 0) -> Any:
    return x


def test_typed_arguments_travel_plain_and_come_back_typed() -> None:
    app, cluster = app_and_cluster()
    task = app.task(name="t")(ship)
    order = Order(NOW, ["tea"])
    run = task.enqueue(order, day=date(2027, 1, 2))
    sent = {"at": "2027-01-01T00:00:00+00:00", "items": ["tea"]}
    ((_, ((_, payload),)),) = cluster.batches
    assert payload == [[sent], {"day": "2027-01-02"}]
    cluster.states[run.id] = Result(run.id, State.SUCCEEDED, pack(sent))
    assert assert_type(run, Run[Order]).result(timeout=5) == order
    assert app.run(run.id).result(timeout=5) == sent, "an id says nothing of types"


def test_each_of_many_is_converted_and_read() -> None:
    app, cluster = app_and_cluster()
    task = app.task(name="t")(ship)
    runs = task.enqueue_many([(Order(NOW, []),), [Order(NOW, ["a"]), date(2027, 1, 1)]])
    ((_, tasks),) = cluster.batches
    sent = [cast("Any", payload)[0][0]["items"] for _, payload in tasks]
    assert sent == [[], ["a"]]
    for run in runs:
        cluster.states[run.id] = Result(
            run.id, State.SUCCEEDED, pack({"at": NOW.isoformat(), "items": []})
        )
    assert [run.result(timeout=5) for run in runs] == [Order(NOW, [])] * 2


@pytest.mark.parametrize(
    ("enqueue", "told"),
    [
        (lambda t: t.enqueue(3), "argument 1 'order' of t: expected Order, got int 3"),
        (
            lambda t: t.enqueue(Order(NOW, []), day="soon"),
            "argument 'day' of t: expected date, got str 'soon'",
        ),
        (
            lambda t: t.enqueue_many([(Order(NOW, []),), (Order(NOW, [7]),)]),  # type: ignore[list-item]
            r"calls\[1\]: argument 1 'order' of t: expected str, got int 7 at .items\[0\]",
        ),
        (lambda t: t.enqueue(Order(NOW, []), n={1}), "argument 'n' of t: set; annotate"),
    ],
)
def test_a_wrong_one_is_refused_by_name_and_not_sent(
    enqueue: Callable[[Any], object], told: str
) -> None:
    app, cluster = app_and_cluster()
    with pytest.raises(NotSerializable, match=told):
        enqueue(app.task(name="t")(ship))
    assert cluster.batches == []


def test_a_rich_value_for_what_has_no_annotation_is_refused_where_the_code_is() -> None:
    app, cluster = app_and_cluster()
    task = app.task(name="t")(plain)
    told = r"argument 1 'x' of t: datetime; annotate the parameter, and it arrives as one"
    with pytest.raises(NotSerializable, match=told):
        task.enqueue(NOW)
    with pytest.raises(NotSerializable, match=told):
        app.enqueue("t", NOW)
    with pytest.raises(NotSerializable, match=rf"calls\[1\]: .*{told}"):
        task.enqueue_many([(1,), (NOW,)])
    assert cluster.batches == []
    app.enqueue("elsewhere", NOW, order=Order(NOW, []))
    ((_, ((_, payload),)),) = cluster.batches
    text = NOW.isoformat()
    assert payload == [[text], {"order": {"at": text, "items": []}}]


def test_an_app_has_converters_of_its_own() -> None:
    class Money:
        def __init__(self, cents: int) -> None:
            self.cents = cents

    def pay(money: "Money") -> "Money":
        return money

    pay.__annotations__ = {"money": Money, "return": Money}
    app, cluster = app_and_cluster(types=[Converter(Money, lambda money: money.cents, Money)])
    run = app.task(name="t")(pay).enqueue(Money(7))
    ((_, ((_, payload),)),) = cluster.batches
    assert payload == [[7], {}]
    cluster.states[run.id] = Result(run.id, State.SUCCEEDED, pack(9))
    assert run.result(timeout=5).cents == 9


def test_a_plain_task_costs_no_call_more() -> None:
    """Counted, not timed: an annotation that says nothing must not be looked at."""
    app, _ = app_and_cluster()

    def count(task: Any) -> int:
        calls = 0

        def see(_frame: object, event: str, _arg: object) -> None:
            nonlocal calls
            calls += event == "call"

        task._call((1, 2), {})
        sys.setprofile(see)
        try:
            task._call((1, 2), {})
        finally:
            sys.setprofile(None)
        return calls

    def annotated(x: int, y: int) -> int:
        return x

    def nested(x: int | None, y: "float") -> list[int]:
        return []

    usual = count(app.task(name="a")(plain))
    assert usual == count(app.task(name="b")(annotated))
    assert usual == count(app.task(name="c")(nested))
