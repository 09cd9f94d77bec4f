"""Failures of tasks as Sentry gets them, over a cluster in this process."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from raftwork import RateLimited, Resume, Retry, current
from raftwork.contrib.sentry import RaftworkIntegration
from raftwork.instruments import installed as instruments
from raftwork.testing.virtual_app import VirtualApp, installed

Event = dict[str, Any]


class Kept(Transport):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.flushed = 0

    def capture_envelope(self, envelope: Envelope) -> None:
        if (event := envelope.get_event()) is not None:
            self.events.append(dict(event))

    def flush(self, timeout: float, callback: object = None) -> None:
        self.flushed += 1


@pytest.fixture
def kept() -> Iterator[Kept]:
    transport = Kept()
    yield transport
    sentry_sdk.init(default_integrations=False)  # it reports nowhere, and leaves logging alone
    instruments.clear()


@pytest.fixture
def app() -> Iterator[VirtualApp]:
    with installed() as made:
        yield made


def begin(kept: Kept, **options: bool) -> None:
    sentry_sdk.init(
        "http://key@127.0.0.1/1",
        transport=kept,
        default_integrations=False,
        integrations=[RaftworkIntegration(**options)],
    )
    # Sentry sets an integration up once in a process, however often it is told to.
    RaftworkIntegration.setup_once()


def test_a_failed_task_is_one_event_with_its_name_id_attempt_and_queue(
    app: VirtualApp, kept: Kept
) -> None:
    begin(kept)

    @app.task(name="fails", queue="mail", tags={"customer": "7"})
    def fails() -> None:
        raise ValueError("no")

    run = fails.enqueue()
    app.run_until_idle()
    (event,) = kept.events
    (said,) = event["exception"]["values"]
    assert (said["type"], said["value"]) == ("ValueError", "no")
    assert said["mechanism"] == {"type": "raftwork", "handled": False}
    assert "fails" in [frame["function"] for frame in said["stacktrace"]["frames"]]
    assert event["transaction"] == "fails"
    assert event["tags"] == {"raftwork.task": "fails", "raftwork.queue": "mail"}
    about = event["contexts"]["raftwork"]
    worker = about.pop("worker")
    assert about == {
        "task": "fails",
        "id": run.id,
        "attempt": 1,
        "queue": "mail",
        "tags": {"customer": "7"},
    }
    assert worker


def test_a_coroutine_reports_as_a_function_does(app: VirtualApp, kept: Kept) -> None:
    begin(kept)

    @app.task(name="fails")
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    fails.enqueue()
    app.run_until_idle()
    assert [event["transaction"] for event in kept.events] == ["fails"]


@pytest.mark.parametrize("retries", [False, True])
def test_attempts_that_are_retried_are_reported_only_if_that_is_asked_for(
    app: VirtualApp, kept: Kept, retries: bool
) -> None:
    begin(kept, retries=retries)

    @app.task(name="fails", retries=2, backoff=1)
    def fails() -> None:
        if current().attempt == 1:
            raise Retry(after=1)
        raise ValueError("no")

    fails.enqueue()
    app.advance(600)
    attempts = [event["contexts"]["raftwork"]["attempt"] for event in kept.events]
    assert attempts == ([1, 2, 3] if retries else [3])


def test_a_task_that_asks_for_another_attempt_has_not_failed(app: VirtualApp, kept: Kept) -> None:
    begin(kept, retries=True)

    @app.task(name="goes on")
    def goes_on() -> int:
        if current().attempt == 1:
            raise Resume
        if current().attempt == 2:
            raise RateLimited(retry_after=1)
        return current().attempt

    run = goes_on.enqueue()
    app.advance(600)
    assert (run.result(), kept.events) == (3, [])


def test_arguments_that_do_not_fit_and_values_that_cannot_be_sent_are_failures_too(
    app: VirtualApp, kept: Kept
) -> None:
    begin(kept)
    by_name = app.named("takes one")  # whose code is not known yet

    @app.task(name="takes one", retries=5)
    def takes_one(_x: int) -> None: ...

    @app.task(name="gives an object")
    def gives_an_object() -> object:
        return object()

    by_name.enqueue(1, 2)
    gives_an_object.enqueue()
    app.run_until_idle()
    assert [event["transaction"] for event in kept.events] == ["takes one", "gives an object"]


def test_what_one_task_says_is_not_told_of_the_next(app: VirtualApp, kept: Kept) -> None:
    begin(kept)

    @app.task(name="says")
    def says(key: str) -> None:
        sentry_sdk.set_tag(key, "1")
        raise ValueError(key)

    says.enqueue("a")
    says.enqueue("b")
    app.run_until_idle()
    assert [sorted(set(event["tags"]) & {"a", "b"}) for event in kept.events] == [["a"], ["b"]]


def test_nothing_is_reported_where_sentry_does_not_run(app: VirtualApp, kept: Kept) -> None:
    begin(kept)
    sentry_sdk.init(default_integrations=False)

    @app.task(name="fails")
    def fails() -> None:
        raise ValueError("no")

    fails.enqueue()
    app.run_until_idle()
    assert kept.events == []


def test_events_leave_before_a_process_ends(kept: Kept) -> None:
    begin(kept)
    for each in instruments:
        assert each.flush is not None
        each.flush()
    assert kept.flushed == 1
