"""Records of a log say for which task they were made."""

import io
import logging
from collections.abc import Iterator

import pytest

from raftwork.instruments import Instrument, install, installed
from raftwork.messages import PushedTask, Spec, encode_spec
from raftwork.wire import pack
from raftwork.worker.runner import Runner
from raftwork.worker.task_fields import TaskFilter, add_task, task_fields

log = logging.getLogger("shop")
TASK = {
    "task_id": "id",
    "task": "pay",
    "queue": "mail",
    "attempt": 2,
    "token": 7,
    "worker": "w",
}


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    found: list[logging.LogRecord] = []

    class Keeps(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record)

    handler = Keeps()
    handler.addFilter(TaskFilter())
    log.addHandler(handler)
    yield found
    log.removeHandler(handler)
    installed.clear()


def run(code: object) -> None:
    task = PushedTask(7, "id", 2, encode_spec(Spec("pay", "mail")), pack([[], {}]))
    assert Runner({"pay": code}, "w").run_once(task).outcome.ok  # type: ignore[dict-item]


def test_a_record_of_a_tasks_code_has_the_tasks_fields(records: list[logging.LogRecord]) -> None:
    log.warning("outside")
    run(lambda: log.warning("inside", extra={"queue": "its own"}))
    outside, inside = records
    assert not TASK.keys() & vars(outside).keys()
    assert {name: vars(inside)[name] for name in TASK} == {**TASK, "queue": "its own"}


def test_what_a_tracer_has_is_among_them(records: list[logging.LogRecord]) -> None:
    install(Instrument(log_fields=lambda: {"trace_id": "ab"}))
    run(lambda: log.warning("inside"))
    assert vars(records[0])["trace_id"] == "ab"
    assert task_fields() == {}


def test_structlog_takes_them_as_a_processor() -> None:
    seen: list[object] = []
    run(lambda: seen.append(add_task(None, "info", {"event": "x", "token": 1})))
    assert seen == [{"event": "x", **TASK, "token": 1}]
    assert add_task(None, "info", {"event": "x"}) == {"event": "x"}


def test_a_plain_formatter_can_name_them() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(TaskFilter())
    handler.setFormatter(logging.Formatter("%(task_id)s %(message)s", defaults={"task_id": "-"}))
    log.addHandler(handler)
    try:
        log.warning("outside")
        run(lambda: log.warning("inside"))
    finally:
        log.removeHandler(handler)
    assert stream.getvalue() == "- outside\nid inside\n"
