"""What became of tasks, by queue and name, as the events of entries tell it."""

import pytest

from raftwork.broker import task_counters
from raftwork.broker.task_counters import TaskCounters
from raftwork.features.event_journal import EventKind, Happened

W = b"incarnation"


def test_a_tasks_life_is_counted_by_its_queue_and_name() -> None:
    counters = TaskCounters()
    counters.take(
        [
            Happened(EventKind.ENQUEUED, ["a", "b", "c", "d"], "q", "m.f"),
            Happened(EventKind.ASSIGNED, ["a", "b"], "q", "m.f", W),
            Happened(EventKind.FINISHED, ["a", "b"], "q", "m.f", W, runs_ms=[0, 45]),
            Happened(EventKind.RETRIED, ["c"], "q", "m.f", W, text="ValueError: no"),
            Happened(EventKind.RETRIED, ["c"], "q", "m.f", W, text="TimeLimitExceeded: ran"),
            Happened(EventKind.FAILED, ["c"], "q", "m.f", W, text="ValueError: no"),
            Happened(EventKind.RETRIED, ["d"], "q", "m.f", W, text="WorkerLost: w1 vanished"),
            Happened(EventKind.LOST, ["d"], "q", "m.f", W, text="WorkerLost: lost 2 times"),
            Happened(EventKind.DEAD, ["c"], "q", "m.f", W),
            Happened(EventKind.PAUSED, queue="q"),
            Happened(EventKind.FLOW_FINISHED, ["flow"]),
        ]
    )
    (told,) = counters.told()
    assert (told.queue, told.name, told.enqueued) == ("q", "m.f", 4)
    assert (told.succeeded, told.failed, told.lost, told.cancelled) == (2, 1, 1, 0)
    assert (told.errors, told.timeouts, told.losses, told.retried) == (2, 1, 2, 3)
    assert (told.runs.counts[:3], told.runs.sum_ms) == ([1, 0, 1], 45)


def test_what_ended_without_an_attempt_has_none_that_failed() -> None:
    counters = TaskCounters()
    counters.take(
        [
            Happened(EventKind.FAILED, ["a"], "q", "m.f", text="UpstreamFailed: b"),
            Happened(EventKind.EXPIRED, ["b"], "q", "m.f"),
            Happened(EventKind.CANCELLED, ["c"], "q", "m.f", W),
            Happened(EventKind.FINISHED, ["d", "e"], "q", "m.f"),
        ]
    )
    (told,) = counters.told()
    assert (told.failed, told.cancelled, told.errors) == (1, 2, 0)
    assert told.runs.counts[0] == 2


def test_beyond_so_many_names_all_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_counters, "NAMES_MAX", 2)
    counters = TaskCounters()
    for queue, name in (("q", "a"), ("q", "b"), ("q", "c"), ("q", "d"), ("r", "e"), ("q", "a")):
        counters.take([Happened(EventKind.ENQUEUED, ["1"], queue, name)])
    assert [(t.queue, t.name, t.enqueued) for t in counters.told()] == [
        *(("q", "a", 2), ("q", "b", 1), ("q", "other", 2), ("other", "other", 1)),
    ]
