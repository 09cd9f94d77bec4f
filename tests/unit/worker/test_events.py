"""What happens to a worker, as values with a text and fields of their own."""

import logging
from dataclasses import fields
from typing import Any, get_args

import pytest

from raftwork.worker import events
from raftwork.worker.task_logging import tell


def any_of(kind: Any) -> Any:
    values: dict[str, object] = {
        "int": 1,
        "int | None": 2,
        "float": 0.5,
        "tuple[str, ...]": ("a",),
    }
    return kind(**{field.name: values.get(str(field.type), "x") for field in fields(kind)})


@pytest.mark.parametrize("kind", get_args(events.Event))
def test_every_event_is_a_frozen_value_with_a_text_of_its_own(kind: Any) -> None:
    assert kind.__dataclass_params__.frozen
    assert str(any_of(kind)) != repr(any_of(kind))


def test_an_event_is_a_record_with_its_values(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "raftwork.worker"):
        tell(events.LeaderJoined("h:1", 3, 2, 3))
        tell(events.AttemptSucceeded("t", "n", 1, None))  # for debugging
    (record,) = caplog.records
    assert record.getMessage() == "joined the leader at h:1, epoch 3; 2 of 3 brokers reached"
    expected = {"event": "leader_joined", "leader": "h:1", "epoch": 3, "reached": 2, "brokers": 3}
    assert vars(record)["fields"] == expected


def test_a_worker_says_what_it_is_and_serves_however_many_tasks_that_are() -> None:
    names = [f"t{n:03}" for n in range(300)]
    event = events.started("w", "m:app", "thread", 2, ("q", "r"), ("h:1",), names[::-1], 7)
    assert str(event) == (
        "worker w runs 300 tasks of m:app (t000, t001, t002, t003, t004, t005, t006, t007, t008,"
        " t009, and 290 more); pool: thread, slots: 2, queues: q, r, brokers: h:1, pid: 7"
    )
    few = events.started("w", "m:app", "async", 1, ("q",), ("h:1", "h:2"), ["t"], 7)
    assert "runs 1 task of m:app (t); " in str(few)
    assert "brokers: h:1, h:2" in str(few)
