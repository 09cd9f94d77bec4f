"""Which handles are watched when, and what an outcome does to them."""

import gc

import pytest

from raftwork.client.handles import Handles, Slot
from raftwork.errors import Unavailable
from raftwork.messages import WATCH_IDS_MAX, Result, State


def succeeded(id_: str) -> Result:
    return Result(id_, State.SUCCEEDED, b"\x01")


def unknown(id_: str) -> Result:
    return Result(id_, State.UNKNOWN, b"")


def test_the_first_wait_watches_all_live_handles_and_the_next_ones_none() -> None:
    handles = Handles()
    one, two, three = handles.find_or_add(["1", "2", "3"], Slot)
    _, ids = handles.wait_for(two)
    assert ids == ["2", "1", "3"]
    assert handles.wait_for(one)[1] == handles.wait_for(three)[1] == []


def test_a_wait_watches_one_batch_at_most_itself_included() -> None:
    handles = Handles()
    slots = handles.find_or_add([str(i) for i in range(WATCH_IDS_MAX + 5)], Slot)
    _, ids = handles.wait_for(slots[-1])
    assert len(ids) == len(set(ids)) == WATCH_IDS_MAX
    assert ids[:2] == [slots[-1].id, "0"]


def test_an_id_has_one_live_handle() -> None:
    handles = Handles()
    (one,) = handles.find_or_add(["1"], Slot)
    assert handles.find_or_add(["1"], Slot) == [one]
    handles.wait_for(one)
    assert handles.find_or_add(["1"], Slot) == [one]


def test_an_outcome_wakes_every_wait_and_answers_later_ones_at_once() -> None:
    handles = Handles()
    (one,) = handles.find_or_add(["1"], Slot)
    waits = [handles.wait_for(one)[0] for _ in range(3)]
    handles.deliver([succeeded("1")])
    assert [w.result(0) for w in [*waits, handles.wait_for(one)[0]]] == [succeeded("1")] * 4


def test_an_outcome_is_kept_for_a_handle_nobody_waits_for_yet() -> None:
    handles = Handles()
    one, two = handles.find_or_add(["1", "2"], Slot)
    handles.wait_for(one)
    handles.deliver([succeeded("2")])
    assert two.outcome == succeeded("2")
    assert one.outcome is None


def test_a_dropped_handle_costs_nothing_and_is_unwatched() -> None:
    handles = Handles()
    slots = handles.find_or_add(["1", "2", "3"], Slot)
    handles.wait_for(slots[0])
    slots += handles.find_or_add(["4"], Slot)
    del slots[1:]
    gc.collect()
    assert sorted(handles.sweep()) == ["2", "3"]
    assert list(handles._watched) == ["1"]
    assert not handles._idle


def test_a_handle_made_anew_under_a_dropped_ones_id_is_not_swept_away() -> None:
    handles = Handles()
    handles.find_or_add(["1"], Slot)
    gc.collect()
    (again,) = handles.find_or_add(["1"], Slot)
    assert handles.sweep() == []
    assert handles.find_or_add(["1"], Slot) == [again]


def test_unknown_answers_the_wait_that_asked_and_is_no_outcome() -> None:
    handles = Handles()
    (one,) = handles.find_or_add(["1"], Slot)
    waiter, _ = handles.wait_for(one)
    assert handles.deliver([unknown("1")]) == []
    assert waiter.result(0) == unknown("1")
    assert one.outcome is None
    assert handles.wait_for(one)[1] == ["1"]


def test_unknown_does_not_answer_a_wait_that_began_after_its_question() -> None:
    handles = Handles()
    one, two = handles.find_or_add(["1", "2"], Slot)
    handles.wait_for(one)  # asks about "2" as well
    waiter, ids = handles.wait_for(two)
    assert ids == []
    assert handles.deliver([unknown("2")]) == ["2"]
    assert not waiter.done()
    handles.deliver([unknown("2")])
    assert waiter.result(0) == unknown("2")


def test_a_wait_given_up_is_forgotten() -> None:
    handles = Handles()
    (one,) = handles.find_or_add(["1"], Slot)
    waiter, _ = handles.wait_for(one)
    handles.give_up(one, waiter)
    assert not one.waiters
    handles.deliver([succeeded("1")])
    assert not waiter.done()


def test_closing_fails_every_wait() -> None:
    handles = Handles()
    (one,) = handles.find_or_add(["1"], Slot)
    waiter, _ = handles.wait_for(one)
    handles.fail_all(Unavailable("closed"))
    with pytest.raises(Unavailable, match="closed"):
        waiter.result(0)


def test_who_asks_after_a_watched_handle_was_dropped_is_told_too() -> None:
    handles = Handles()
    (first,) = handles.find_or_add(["t"], Slot)
    handles.wait_for(first)
    del first
    (second,) = handles.find_or_add(["t"], Slot)
    waiter, ids = handles.wait_for(second)
    assert ids == ["t"]
    assert handles.sweep() == []
    handles.deliver([succeeded("t")])
    assert waiter.result(0) == succeeded("t")


def test_an_unknown_that_a_dropped_handle_was_told_is_asked_for_again() -> None:
    handles = Handles()
    (first,) = handles.find_or_add(["t"], Slot)
    handles.wait_for(first)
    del first
    (second,) = handles.find_or_add(["t"], Slot)
    waiter, _ = handles.wait_for(second)
    assert handles.deliver([unknown("t")]) == ["t"]
    assert not waiter.done()
