"""Traces of tasks with OpenTelemetry: `RaftworkInstrumentor().instrument()`.

A span for each enqueue and one for each attempt, as the conventions for messaging name them; the
context travels in the task's headers. Brokers make none.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from raftwork.attempt_ends import RateLimited, Resume
from raftwork.contrib.peers import peer
from raftwork.instruments import Instrument, Sending, install, remove
from raftwork.release import RELEASE
from raftwork.worker.context import Context as Task
from raftwork.worker.context import current
from raftwork.worker.following import leave_trace
from raftwork.worker.runner import kind_of, message_of

if TYPE_CHECKING:
    from opentelemetry import context as contexts
    from opentelemetry import metrics, propagate, trace
    from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]
        BaseInstrumentor,
    )
else:
    contexts = peer("opentelemetry.context", "opentelemetry")
    metrics = peer("opentelemetry.metrics", "opentelemetry")
    propagate = peer("opentelemetry.propagate", "opentelemetry")
    trace = peer("opentelemetry.trace", "opentelemetry")
    BaseInstrumentor = peer(
        "opentelemetry.instrumentation.instrumentor", "opentelemetry"
    ).BaseInstrumentor

#: Says of a task that its context is that of a batch: many tasks cannot be one span's children.
_BATCH_HEADER: Final = "raftwork-batch"
_BATCH_KEY: Final = contexts.create_key("raftwork-batch")
#: For spans to leave before a process that runs tasks ends, ms.
_FLUSH_MS: Final = 1_500
#: What an attempt leaves for the next one: trace id, span id, flags.
_LEFT: Final = struct.Struct(">16s8sB")
#: Upper bounds of a histogram's buckets, s, as the conventions for messaging have them.
_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


class RaftworkInstrumentor(BaseInstrumentor):
    """Follows the tasks that this process enqueues, and those that it runs.

    `instrument` takes `tracer_provider` and `meter_provider`; without them the global ones, also if
    they are set later, such as in `on_child_start`.
    """

    _instrument_of_tasks: Instrument | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """See BaseInstrumentor."""
        return ("raftwork >= 0.3",)

    def _instrument(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        **_: Any,
    ) -> None:
        spans = _Spans(tracer_provider, meter_provider)
        self._instrument_of_tasks = Instrument(
            attempt=partial(_Attempt, spans),
            send=partial(_Send, spans),
            headers=_headers,
            log_fields=_log_fields,
            flush=spans.flush,
        )
        install(self._instrument_of_tasks)

    def _uninstrument(self, **_: Any) -> None:
        if self._instrument_of_tasks is not None:
            remove(self._instrument_of_tasks)


class _Spans:
    """Where spans and measurements go."""

    def __init__(
        self,
        tracers: trace.TracerProvider | None,
        meters: metrics.MeterProvider | None,
    ) -> None:
        self._providers = tracers, meters
        self.tracer = trace.get_tracer(__name__, RELEASE, tracers)
        meter = metrics.get_meter(__name__, RELEASE, meters)
        self.operation = meter.create_histogram(
            "messaging.client.operation.duration",
            unit="s",
            description="How long an enqueue took.",
            explicit_bucket_boundaries_advisory=_BUCKETS_S,
        )
        self.process = meter.create_histogram(
            "messaging.process.duration",
            unit="s",
            description="How long an attempt's code ran.",
            explicit_bucket_boundaries_advisory=_BUCKETS_S,
        )

    def flush(self) -> None:
        """Have what was made of these go out. Providers of the API alone hold nothing back."""
        tracers, meters = self._providers
        for provider in (
            tracers or trace.get_tracer_provider(),
            meters or metrics.get_meter_provider(),
        ):
            if (force := getattr(provider, "force_flush", None)) is not None:
                force(_FLUSH_MS)


class _Send:
    """Around an enqueue. Its span is the current one while the arguments are packed."""

    __slots__ = ("_began", "_sending", "_span", "_spans", "_token")

    def __init__(self, spans: _Spans, sending: Sending) -> None:
        self._spans, self._sending = spans, sending

    def __enter__(self) -> None:
        task, queue, many = self._sending.task, self._sending.queue, self._sending.many
        self._began = time.perf_counter()
        self._span = self._spans.tracer.start_span(
            f"send {queue}",
            kind=trace.SpanKind.CLIENT if many else trace.SpanKind.PRODUCER,
            attributes={**_common(queue, "send"), "raftwork.task.name": task},
        )
        inside = trace.set_span_in_context(self._span)
        self._token = contexts.attach(contexts.set_value(_BATCH_KEY, many, inside))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        contexts.detach(self._token)
        ids, span = self._sending.ids, self._span
        if self._sending.many:
            span.set_attribute("messaging.batch.message_count", len(ids))
        elif ids:
            span.set_attribute("messaging.message.id", ids[0])
        _end(span, error)
        attributes = _common(self._sending.queue, "send", error)
        self._spans.operation.record(time.perf_counter() - self._began, attributes)


def _headers() -> Mapping[str, str]:
    """Of what is enqueued now: the current context, as the global propagator says it."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    if carrier and contexts.get_value(_BATCH_KEY):
        carrier[_BATCH_HEADER] = "1"
    return carrier


def _log_fields() -> Mapping[str, str]:
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return {}
    trace_id, span_id = trace.format_trace_id(span.trace_id), trace.format_span_id(span.span_id)
    return {"trace_id": trace_id, "span_id": span_id}


class _Attempt:
    """Around an attempt."""

    __slots__ = ("_began", "_queue", "_span", "_spans", "_token")

    def __init__(self, spans: _Spans) -> None:
        self._spans = spans

    def __enter__(self) -> None:
        task = current()
        headers = task.headers
        came_with = propagate.extract(headers, contexts.Context())
        links = _links(task, came_with)
        if _BATCH_HEADER in headers:
            came_with = trace.set_span_in_context(trace.INVALID_SPAN, came_with)
        self._queue = task.queue
        self._began = time.perf_counter()
        self._span = self._spans.tracer.start_span(
            f"process {task.queue}",
            context=came_with,
            kind=trace.SpanKind.CONSUMER,
            links=links,
            attributes={
                **_common(task.queue, "process"),
                "messaging.message.id": task.id,
                "raftwork.task.name": task.name,
                "raftwork.task.attempt": task.attempt,
                "raftwork.task.token": task.token,
                "raftwork.task.worker": task.worker,
            },
        )
        self._token = contexts.attach(trace.set_span_in_context(self._span, came_with))
        leave_trace(_left(self._span.get_span_context()))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        contexts.detach(self._token)
        if isinstance(error, Resume | RateLimited):
            error = None  # it asks for another attempt: nothing went wrong
        _end(self._span, error)
        attributes = _common(self._queue, "process", error)
        self._spans.process.record(time.perf_counter() - self._began, attributes)


def _links(task: Task, came_with: contexts.Context) -> list[trace.Link]:
    """To the span that enqueued it, and to that of the last attempt that failed."""
    creator = trace.get_current_span(came_with).get_span_context()
    links = [trace.Link(creator)] if creator.is_valid else []
    if len(task.trace_before) == _LEFT.size:
        trace_id, span_id, flags = _LEFT.unpack(task.trace_before)
        before = trace.SpanContext(
            int.from_bytes(trace_id),
            int.from_bytes(span_id),
            is_remote=True,
            trace_flags=trace.TraceFlags(flags),
        )
        links.append(trace.Link(before, {"raftwork.link": "previous attempt"}))
    return links


def _left(span: trace.SpanContext) -> bytes:
    if not span.is_valid:
        return b""
    trace_id, span_id = span.trace_id.to_bytes(16), span.span_id.to_bytes(8)
    return _LEFT.pack(trace_id, span_id, span.trace_flags)


def _common(queue: str, operation: str, error: BaseException | None = None) -> dict[str, str]:
    attributes = {
        "messaging.system": "raftwork",
        "messaging.destination.name": queue,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
    }
    return attributes if error is None else {**attributes, "error.type": kind_of(error)}


def _end(span: trace.Span, error: BaseException | None) -> None:
    if error is not None:
        with suppress(Exception):  # its text is a user's method
            span.record_exception(error)
        span.set_attribute("error.type", kind_of(error))
        span.set_status(trace.StatusCode.ERROR, message_of(error))
    span.end()
