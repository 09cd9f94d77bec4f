"""Marks: kept by every replica once each, told newest first, and an event."""

import pytest

from raftwork.features import marks
from raftwork.features.event_journal import EventKind, Happened
from raftwork.features.marks import AskMarks, Mark, MarkRow, MarkSet, MarksTold, SetMark
from raftwork.messages import Code, Refused
from tests.unit.broker.queues import Queues
from tests.unit.broker.request_harness import RequestHarness


def told(one: RequestHarness, since: int = 0, limit: int = 10) -> list[MarkRow]:
    (answer,) = one.told(AskMarks(1, since, limit))
    assert isinstance(answer, MarksTold), answer
    return answer.marks


def test_a_mark_is_told_with_its_time_and_is_an_event() -> None:
    one = RequestHarness()
    one.machine.state.journal.on = True
    assert one.done(SetMark(1, "a", "deploy 7")) == [MarkSet(1)]
    assert one.machine.state.journal.drain() == [Happened(EventKind.MARKED, text="deploy 7")]
    assert told(one) == [MarkRow(1, one.queues.time, "deploy 7")]


def test_who_asks_again_makes_no_second_one() -> None:
    one = RequestHarness()
    one.done(SetMark(1, "a", "deploy 7"))
    one.machine.state.journal.on = True
    assert one.done(SetMark(2, "a", "deploy 7")) == [MarkSet(2)]
    assert one.machine.state.journal.drain() == []
    assert len(told(one)) == 1


def test_the_newest_are_kept_and_told_newest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "ROWS_MAX", 5)
    one = RequestHarness()
    for n in range(8):
        one.queues.time = 1_000 + n
        one.queues.apply(Mark(f"{n}", f"what {n}"))
    assert [mark.text for mark in told(one)] == [f"what {n}" for n in (7, 6, 5, 4, 3)]
    assert [mark.text for mark in told(one, limit=1)] == ["what 7"]
    assert [mark.text for mark in told(one, since=1_006)] == ["what 7", "what 6"]


def test_texts_are_bounded_and_below_level_two_there_are_none() -> None:
    one = RequestHarness()
    (refused,) = one.ask(SetMark(1, "a", "x" * 201))
    assert isinstance(refused, Refused)
    assert "200" in refused.text
    old = RequestHarness(queues=Queues(level=1))
    (refused,) = old.ask(SetMark(1, "a", "x"))
    assert isinstance(refused, Refused)
    assert refused.code is Code.UNSUPPORTED
    assert told(old) == []
