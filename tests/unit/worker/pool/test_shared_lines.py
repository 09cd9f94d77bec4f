"""Lines in memory that a child shares with the worker."""

import random

import pytest

from raftwork.worker.pool.shared_lines import RING_BYTES, SharedLines
from raftwork.worker.task_lines import Line


def line(text: str, at: int = 5) -> Line:
    return Line(at, text.encode())


def test_the_lines_of_a_task_are_read_once_and_in_order() -> None:
    shared = SharedLines(2)
    child = shared.of_child(1)
    assert shared.slot_of(7) is None
    child.add(7, line("one"))
    child.add(7, line("two", 6))
    assert shared.slot_of(7) == 1
    end, lines, lost = shared.read(1, 7, 0)
    assert lines == [line("one"), line("two", 6)]
    assert not lost
    assert shared.read(1, 7, end) == (end, (), False)
    child.add(8, line("of the next task"))
    child.add(7, line("three"))
    assert shared.read(1, 7, end)[1] == [line("three")]
    assert shared.read(0, 7, 0) == (0, (), False)


def test_a_ring_that_was_overrun_has_the_newest_whole() -> None:
    shared, dice = SharedLines(1), random.Random(1)
    child = shared.of_child(0)
    texts = [f"{n} {'x' * dice.randrange(1_000)}" for n in range(2_000)]
    read, found = 0, list[str]()
    for number, text in enumerate(texts):
        child.add(7, line(text))
        if number % 50 == 0:
            read, lines, lost = shared.read(0, 7, read)
            told = [each.data.decode() for each in lines]
            assert told == texts[number + 1 - len(told) : number + 1]
            assert len(told) > 20 or number == 0
            assert lost == (len(told) < min(50, number + 1))
            found += told
    assert len(set(found)) == len(found)
    _, lines, _ = shared.read(0, 7, 0)
    assert RING_BYTES - 1_100 < sum(len(each.data) + 18 for each in lines) <= RING_BYTES


def test_a_child_that_takes_the_place_of_another_goes_on_behind_it() -> None:
    shared = SharedLines(1)
    shared.of_child(0).add(7, line("one"))
    shared.of_child(0).add(8, line("two"))
    assert shared.read(0, 7, 0)[1] == [line("one")]
    assert shared.read(0, 8, 0)[1] == [line("two")]


def test_a_signal_handler_that_logs_within_costs_its_own_line_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared = SharedLines(1)
    child = shared.of_child(0)
    add = child._add

    def interrupted(token: int, record: bytes) -> None:
        child.add(token, line("of the handler"))
        add(token, record)

    monkeypatch.setattr(child, "_add", interrupted)
    child.add(7, line("one"))
    assert shared.read(0, 7, 0)[1] == [line("one")]
