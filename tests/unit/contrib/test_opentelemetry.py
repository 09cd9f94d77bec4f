"""Spans of tasks, from an enqueue over its retries, over a cluster in this process."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from raftwork import RateLimited, Resume, chain, current
from raftwork.contrib.opentelemetry import RaftworkInstrumentor
from raftwork.crypto import Encryption
from raftwork.instruments import installed as instruments
from raftwork.testing.virtual_app import VirtualApp, installed


class Made:
    """What was exported, and measured."""

    def __init__(self) -> None:
        self._exporter, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.tracer = self.tracers.get_tracer("test")

    def spans(self, name: str) -> list[ReadableSpan]:
        """In the order of their ends."""
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def counts(self, metric: str) -> list[tuple[object, int]]:
        """How many measurements there are of it by their error."""
        data: Any = self._reader.get_metrics_data()
        points = [
            point
            for scope in data.resource_metrics[0].scope_metrics
            for each in scope.metrics
            if each.name == metric
            for point in each.data.data_points
        ]
        return [(point.attributes.get("error.type"), point.count) for point in points]


@pytest.fixture
def made() -> Iterator[Made]:
    seen, instrumentor = Made(), RaftworkInstrumentor()
    instrumentor.instrument(tracer_provider=seen.tracers, meter_provider=seen.meters)
    yield seen
    instrumentor.uninstrument()
    assert instruments == []
    seen.tracers.shutdown()
    seen.meters.shutdown()


@pytest.fixture
def app() -> Iterator[VirtualApp]:
    with installed() as virtual:
        yield virtual


def span_id(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def trace_id(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.trace_id)


def linked(span: ReadableSpan) -> list[int]:
    return [link.context.span_id for link in span.links]


def test_an_enqueue_and_its_run_are_one_trace(app: VirtualApp, made: Made) -> None:
    @app.task(name="add", queue="sums")
    def add(x: int, y: int) -> int:
        return x + y

    with made.tracer.start_as_current_span("request") as request:
        run = add.enqueue(1, 2)
        assert get_current_span() is request
    app.run_until_idle()
    (sent,), (ran,) = made.spans("send sums"), made.spans("process sums")
    assert (sent.kind, ran.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert sent.parent is not None and ran.parent is not None
    assert sent.parent.span_id == request.get_span_context().span_id
    assert ran.parent.span_id == span_id(sent)
    assert trace_id(ran) == trace_id(sent) == request.get_span_context().trace_id
    assert linked(ran) == [span_id(sent)]
    common = {"messaging.system": "raftwork", "messaging.destination.name": "sums"}
    common |= {"messaging.message.id": run.id, "raftwork.task.name": "add"}
    operation = {"messaging.operation.name": "send", "messaging.operation.type": "send"}
    assert dict(sent.attributes or {}) == common | operation
    found = dict(ran.attributes or {})
    assert found.pop("raftwork.task.worker") and found.pop("raftwork.task.token") == 1
    operation = {"messaging.operation.name": "process", "messaging.operation.type": "process"}
    assert found == common | operation | {"raftwork.task.attempt": 1}
    assert ran.status.status_code is StatusCode.UNSET


def test_each_attempt_is_a_span_linked_to_the_one_that_failed_before_it(
    app: VirtualApp, made: Made
) -> None:
    @app.task(name="fails twice", retries=2, backoff=5)
    def fails_twice() -> int:
        if current().attempt < 3:
            raise ValueError("no")
        return current().attempt

    assert fails_twice.enqueue().result() == 3
    (sent,), (one, two, three) = made.spans("send default"), made.spans("process default")
    for attempt in (one, two, three):
        assert attempt.parent is not None and attempt.parent.span_id == span_id(sent)
    assert linked(one) == [span_id(sent)]
    assert linked(two) == [span_id(sent), span_id(one)]
    assert linked(three) == [span_id(sent), span_id(two)]
    assert (one.status.status_code, one.status.description) == (StatusCode.ERROR, "no")
    assert (one.attributes or {})["error.type"] == "ValueError"
    assert [event.name for event in one.events] == ["exception"]
    assert made.counts("messaging.process.duration") == [("ValueError", 2), (None, 1)]
    assert made.counts("messaging.client.operation.duration") == [(None, 1)]


def test_what_asks_for_another_attempt_is_no_error(app: VirtualApp, made: Made) -> None:
    @app.task(name="goes on")
    def goes_on() -> None:
        if current().attempt == 1:
            raise Resume
        if current().attempt == 2:
            raise RateLimited(retry_after=1)

    goes_on.enqueue().result()
    found = made.spans("process default")
    assert [span.status.status_code for span in found] == [StatusCode.UNSET] * 3


def test_tasks_of_a_batch_are_linked_to_it_and_have_traces_of_their_own(
    app: VirtualApp, made: Made
) -> None:
    @app.task(name="one")
    def one(_x: int) -> None: ...

    one.enqueue_many([(1,), (2,)])
    app.run_until_idle()
    (sent,), ran = made.spans("send default"), made.spans("process default")
    assert sent.kind is SpanKind.CLIENT
    assert (sent.attributes or {})["messaging.batch.message_count"] == 2
    assert [linked(span) for span in ran] == [[span_id(sent)]] * 2
    assert [span.parent for span in ran] == [None, None]
    assert len({trace_id(span) for span in (sent, *ran)}) == 3


def test_what_a_task_enqueues_is_of_its_trace(app: VirtualApp, made: Made) -> None:
    @app.task(name="inner", queue="inner")
    async def inner() -> str:
        return f"{get_current_span().get_span_context().span_id:x}"

    @app.task(name="outer", queue="outer")
    def outer() -> None:
        inner.enqueue()
        current().spawn(inner)

    outer.enqueue()
    app.run_until_idle()
    (sent,), (outside,), ran = (
        made.spans("send inner"),
        made.spans("process outer"),
        made.spans("process inner"),
    )
    assert sent.parent is not None and sent.parent.span_id == span_id(outside)
    assert {span.parent.span_id for span in ran if span.parent} == {
        span_id(sent),
        span_id(outside),
    }
    assert {trace_id(span) for span in ran} == {trace_id(outside)}


def test_a_flow_is_of_the_trace_it_was_made_in_unless_it_has_an_id(
    app: VirtualApp, made: Made
) -> None:
    @app.task(name="double")
    def double(x: int) -> int:
        return 2 * x

    with made.tracer.start_as_current_span("request") as request:
        assert chain(double.s(1), double.s()).enqueue().result() == 4
        first = chain(double.s(1), double.s()).enqueue(id="mine")
    assert chain(double.s(1), double.s()).enqueue(id="mine").id == first.id
    app.run_until_idle()
    mine = request.get_span_context().span_id
    ran = made.spans("process default")
    assert [span.parent and span.parent.span_id for span in ran] == [mine, mine, None, None]


def test_the_same_call_under_another_trace_is_the_same_call(app: VirtualApp, made: Made) -> None:
    """Else what is enqueued again, as after Unavailable, would be refused as another one."""

    @app.task(name="add")
    def add(x: int) -> int:
        return x + 1

    for task in (add.options(id="mine"), add.options(id="with a key", key="k")):
        first = task.enqueue(1)
        with made.tracer.start_as_current_span("again"):
            assert task.enqueue(1).id == first.id
    assert add.options(unique=True).enqueue(1).id == add.options(unique=True).enqueue(1).id


def test_what_is_sealed_under_an_id_of_its_own_takes_no_context_along(
    app: VirtualApp, made: Made
) -> None:
    """Its bytes must be the same each time: brokers cannot look for headers in them."""
    app.codec = Encryption([bytes(32)])

    @app.task(name="one")
    def one() -> None: ...

    for _ in range(2):
        assert one.options(id="mine").enqueue().id == "mine"
        (run,) = one.enqueue_many([()], ids=["other"])
        assert run.id == "other"


def test_a_call_by_a_task_is_found_again_by_its_next_attempt(app: VirtualApp, made: Made) -> None:
    @app.task(name="inner", queue="inner")
    def inner() -> int:
        return current().attempt

    @app.task(name="outer", retries=1)
    async def outer() -> int:
        value = await current().call(inner)
        if current().attempt == 1:
            raise ValueError("once more")
        return value

    assert outer.enqueue().result() == 1
    assert len(made.spans("process inner")) == 1


def test_headers_of_the_call_stay_and_come_first(app: VirtualApp, made: Made) -> None:
    @app.task(name="seen")
    def seen() -> dict[str, str]:
        return dict(current().headers)

    own = {"traceparent": "mine", "tenant": "7"}
    assert seen.options(headers=own).enqueue().result() == own
    found = seen.options(headers={"tenant": "7"}).enqueue().result()
    assert sorted(found) == ["tenant", "traceparent"]
    full = {"full": "x" * (8 * 1024 - 4)}
    assert seen.options(headers=full).enqueue().result() == full


def test_a_failed_enqueue_says_so(app: VirtualApp, made: Made) -> None:
    @app.task(name="one")
    def one(_x: int) -> None: ...

    with pytest.raises(TypeError):
        one.enqueue(1, 2)  # type: ignore[call-arg]
    (sent,) = made.spans("send default")
    assert (sent.attributes or {})["error.type"] == "TypeError"
    assert get_current_span().get_span_context().is_valid is False


def test_without_it_tasks_carry_no_headers(app: VirtualApp) -> None:
    @app.task(name="seen")
    def seen() -> dict[str, str]:
        return dict(current().headers)

    assert seen.enqueue().result() == {}


def test_the_auto_instrumentation_finds_it() -> None:
    code = """
from importlib.metadata import entry_points
(found,) = entry_points(group="opentelemetry_instrumentor", name="raftwork")
found.load()().instrument(raise_exception_on_conflict=True)
from raftwork.instruments import installed
print(len(installed))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
