"""Annotations hold wherever a call is made: in flows and on their edges, by hands, by schedules."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from raftwork import (
    App,
    Failure,
    NotSerializable,
    TaskFailed,
    chain,
    chord,
    current,
    group,
    mapreduce,
)
from raftwork import replace as replace_by
from raftwork.attempt_ends import Replacement
from raftwork.client.canvas import Canvas
from raftwork.testing.virtual_app import VirtualApp, installed

app = App("127.0.0.1:1", timeout=1.0)
NOW = datetime(2027, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
seen: list[object] = []


@dataclass
class Order:
    at: datetime
    n: int = 1


@app.task(name="typed-order")
def order(at: datetime, n: int = 1) -> Order:
    return Order(at, n)


@app.task(name="typed-later")
def later(order: Order, by: timedelta) -> Order:
    assert type(by) is timedelta
    return Order(order.at + by, order.n)


@app.task(name="typed-total")
def total(orders: list[Order]) -> tuple[int, datetime]:
    return sum(each.n for each in orders), max(each.at for each in orders)


@app.task(name="typed-fails")
def fails() -> Order:
    raise ValueError("no")


@app.task(name="typed-look")
def look(orders: list[Order | Failure]) -> list[str]:
    return [type(each).__name__ for each in orders]


@app.task(name="typed-look-simply")
def look_simply(orders: list[Order], first: Order) -> list[str]:
    return [type(each).__name__ for each in (*orders, first)]


@app.task(name="typed-note")
def note(what: Order, *more: timedelta) -> None:
    seen.append((what, *more))


@app.task(name="typed-mourn")
def mourn(failure: Failure, since: datetime) -> None:
    seen.append((failure.message, since))


@app.task(name="typed-untyped")
def untyped(x: Any = None) -> Any:
    seen.append((x, dict(current().headers)))
    return x


@app.task(name="typed-spawning")
def spawning(order: Order) -> None:
    current().spawn(note, order, DAY)
    current().spawn(untyped.options(headers={"trace": "7"}), 1)


@app.task(name="typed-replacing")
def replacing(at: datetime) -> Order | Replacement:
    return replace_by(order.s(at) | later.s(DAY))


@app.task(name="typed-calling")
async def calling(at: datetime) -> Order:
    return await current().call(later, Order(at), by=DAY)


@pytest.fixture
def cluster() -> Iterator[VirtualApp]:
    seen.clear()
    with installed() as virtual:
        yield virtual


FLOWS: list[tuple[Canvas, object]] = [
    (order.s(NOW) | later.s(DAY), Order(NOW + DAY)),
    (chain(order.s(NOW, n=3), later.s(by=DAY), later.s(DAY)), Order(NOW + 2 * DAY, 3)),
    (order.si(NOW) | later.si(Order(NOW, 5), DAY), Order(NOW + DAY, 5)),
    (group(order.s(NOW), order.s(NOW, 2)), [Order(NOW), Order(NOW, 2)]),
    (group([order.s(NOW), group([untyped.s(1)])]), [Order(NOW), [1]]),
    (chord([order.s(NOW), order.s(NOW + DAY, 2)], total.s()), (3, NOW + DAY)),
    (
        group(order.s(NOW, n) for n in (1, 2, 3)) | group(total.s(), total.s(), total.s()),
        [(6, NOW)] * 3,
    ),
    (order.map([NOW, NOW + DAY]), [Order(NOW), Order(NOW + DAY)]),
    (order.map([NOW, NOW + DAY, NOW], chunk=2), [Order(NOW), Order(NOW + DAY), Order(NOW)]),
    (order.starmap([(NOW, 1), [NOW, 2]]), [Order(NOW, 1), Order(NOW, 2)]),
    (order.starmap([(NOW, 1), [NOW, 2]], chunk=2), [Order(NOW, 1), Order(NOW, 2)]),
    (mapreduce(map=order, reduce=total, items=[NOW, NOW + DAY], chunk=2), (2, NOW + DAY)),
    (order.shards(2, NOW), [Order(NOW)] * 2),
    (replacing.s(NOW) | later.s(DAY), Order(NOW + 2 * DAY)),
    (replacing.s(NOW), Order(NOW + DAY)),
]


@pytest.mark.parametrize(("canvas", "value"), FLOWS)
def test_values_on_edges_and_of_flows_are_as_annotated(
    cluster: VirtualApp, canvas: Canvas, value: object
) -> None:
    assert canvas.enqueue().result(timeout=5) == value


def test_values_stand_inside_arguments_of_a_flow(cluster: VirtualApp) -> None:
    with app.flow("f") as flow:
        first = flow.add(order, NOW)
        second = flow.add(later, first, DAY)
        flow.add(total, [first, Order(NOW, 5), second])
        flow.add(later.s({"at": flow.add(untyped, NOW.isoformat()), "n": 9}, DAY))
    assert flow.result(timeout=5) == [(7, NOW + DAY), Order(NOW + DAY, 9)]
    assert app.flow("f").result(timeout=5) == [
        [7, "2027-01-02T00:00:00+00:00"],
        {"at": "2027-01-02T00:00:00+00:00", "n": 9},
    ], "an id says nothing of types"


def test_a_failure_stands_where_a_value_would(cluster: VirtualApp) -> None:
    parts = group(order.s(NOW), fails.s(), on_error="continue")
    told = (parts | look.s()).enqueue()
    assert told.result(timeout=5) == ["Order", "Failure"]
    with app.flow() as flow:
        bad = flow.add(fails)
        flow.add(look_simply, [bad, Order(NOW)], bad, on_error="continue")
    assert flow.result(timeout=5) == ["Failure", "Order", "Failure"]
    values = parts.enqueue().result(timeout=5)
    assert values[0] == Order(NOW) and values[1].message == "no"


def test_what_follows_a_flow_is_given_its_value_and_its_own(cluster: VirtualApp) -> None:
    with app.flow() as flow:
        flow.add(order, NOW, compensate=note.s(DAY))
        flow.on_success(note.s(DAY)).finally_(note.s(2 * DAY))
    cluster.run_until_idle()
    assert sorted(seen, key=str) == [(Order(NOW), DAY), (Order(NOW), 2 * DAY)]
    seen.clear()
    with app.flow() as flow:
        flow.add(later, flow.add(order, NOW, compensate=note.s(DAY)), DAY)
        flow.add(fails)
        flow.on_failure(mourn.s(NOW))
    with pytest.raises(TaskFailed):
        flow.result(timeout=5)
    cluster.run_until_idle()
    assert sorted(seen, key=str) == [("no", NOW), (Order(NOW), DAY)]


def test_a_retried_flow_is_read_as_the_first(cluster: VirtualApp) -> None:
    bad = [True]

    @app.task(name="typed-sometimes")
    def sometimes(at: datetime) -> Order:
        if bad[0]:
            raise ValueError
        return Order(at)

    flow = sometimes.s(NOW).enqueue()
    with pytest.raises(TaskFailed):
        flow.result(timeout=5)
    bad[0] = False
    assert flow.retry().result(timeout=5) == Order(NOW)


def test_what_is_said_to_a_flow_travels_by_what_it_is(cluster: VirtualApp) -> None:
    with app.flow("s") as flow:
        flow.add(later, flow.wait("order"), DAY)
    assert app.signal("s", "order", Order(NOW, 4))
    assert flow.result(timeout=5) == Order(NOW + DAY, 4)
    with pytest.raises(NotSerializable, match="the signal's value"):
        app.signal("s", "other", object())


def test_tasks_make_others_with_arguments_as_annotated(cluster: VirtualApp) -> None:
    spawning.enqueue(Order(NOW))
    cluster.run_until_idle()
    assert seen == [(Order(NOW), DAY), (1, {"trace": "7"})]
    assert calling.delay(NOW).result(timeout=5) == Order(NOW + DAY)


def test_without_the_code_values_travel_by_what_they_are(cluster: VirtualApp) -> None:
    other = App("127.0.0.1:1")
    steps = other.named("typed-order").s(NOW) | other.named("typed-later").s(DAY)
    told = steps.enqueue().result(timeout=5)
    assert told == {"at": "2027-01-02T00:00:00+00:00", "n": 1}


def test_what_does_not_fit_is_refused_before_anything_is_sent(cluster: VirtualApp) -> None:
    with pytest.raises(NotSerializable, match="argument 1 'at' of typed-order: expected datetime"):
        order.s("soon").enqueue()
    with pytest.raises(NotSerializable, match="argument 2 'by' of typed-later: expected timedelta"):
        (order.s(NOW) | later.s("long")).enqueue()
    with pytest.raises(NotSerializable, match="argument 1 'at' of typed-order: expected datetime"):
        order.map([NOW, "soon"], chunk=2).enqueue()
    with pytest.raises(
        NotSerializable, match="'x' of typed-untyped: datetime; annotate the parameter"
    ):
        untyped.s(NOW).enqueue()
    with app.flow() as flow, pytest.raises(NotSerializable, match=r"at \[0\]"):
        flow.add(total, [3, flow.add(order, NOW)])
    with pytest.raises(NotSerializable, match="argument 1 'at' of typed-order: expected datetime"):
        app.schedules.create("s", order, every=60, args=["soon"])


def test_headers_go_with_every_kind_of_call(cluster: VirtualApp) -> None:
    task, trace = untyped.options(headers={"trace": "1"}), {"trace": "1"}
    (task.s(1) | task.s() | group(task.map([2, 3], chunk=2), task.shards(1))).enqueue()
    app.schedules.create("h", task, every=60, args=[4])
    cluster.advance(60)
    assert seen == [(x, trace) for x in (1, 1, 2, 3, None, 4)]
    assert app.schedules.get("h").args == [4]


def test_schedules_have_arguments_as_annotated(cluster: VirtualApp) -> None:
    app.schedules.create("one", note, every=3600, args=[Order(NOW), DAY])
    cluster.advance(3600)
    assert seen == [(Order(NOW), DAY)]
    app.schedules.update("one", args=[Order(NOW, 2)], kwargs={})
    cluster.advance(3600)
    assert seen[1:] == [(Order(NOW, 2),)]


def test_a_declared_schedules_arguments_may_be_of_what_is_defined_below(
    cluster: VirtualApp, caplog: pytest.LogCaptureFixture
) -> None:
    space: dict[str, Any] = {"own": App("127.0.0.1:1"), "seen": seen, "__name__": "declaring"}
    code = """
@own.schedule("declared", every=60, kwargs={"what": {"n": 2}})
@own.task(name="below")
def below(what: "Below") -> None: seen.append(what)

from dataclasses import dataclass

@dataclass
class Below:
    n: int
"""
    exec(code, space)
    assert not caplog.records
    own: App = space["own"]
    own.schedules.apply(own.declarations, "declaring:own")
    cluster.advance(60)
    assert seen == [space["Below"](2)]


def test_a_declared_schedules_arguments_must_fit(cluster: VirtualApp) -> None:
    own = App("127.0.0.1:1")
    task = own.task(name="fits")(order.function)
    with pytest.raises(TypeError, match="bad"):
        own.schedule("s", every=60, kwargs={"bad": 1})(task)
    own.schedule("s", every=60, args=["soon"])(task)
    with pytest.raises(NotSerializable, match="expected datetime"):
        own.schedules.apply(own.declarations, "m:own")


def test_a_broadcasts_values_are_read_one_by_one() -> None:
    plain = {"at": NOW.isoformat(), "n": 2}
    for canvas, value, read in (
        (order.broadcast(NOW), [plain, plain], [Order(NOW, 2)] * 2),
        (
            group(order.broadcast(NOW), order.s(NOW)),
            [[plain], plain],
            [[Order(NOW, 2)], Order(NOW, 2)],
        ),
        (order.broadcast(NOW), [], []),
        (untyped.broadcast(1), [plain], [plain]),
    ):
        flow = canvas._flow("b")
        reads = flow._builder.reads(flow._whole())
        assert (value if reads is None else reads(value)) == read
