"""Which handles are watched when, and what an outcome does to them."""

import gc

import pytest

from raftwork.client.reply import Reply
from raftwork.client.result_registry import Handles, Slot
from raftwork.errors import Unavailable
from raftwork.messages import WATCH_IDS_MAX, Result, State


def wait(handles: Handles, slot: Slot) -> tuple[Reply[Result], list[str]]:
    """A caller's wait, and what the client's thread watches because of it."""
    waiter, unwatched = handles.wait_for(slot)
    return waiter, handles.watch(slot) if unwatched else []


def succeeded(id_: str) -> Result:
    return Result(id_, State.SUCCEEDED, b"\x01")


def unknown(id_: str) -> Result:
    return Result(id_, State.UNKNOWN, b"")


def test_the_first_wait_watches_all_live_handles_and_the_next_ones_none() -> None:
    handles = Handles()
    one, two, three = handles.add(["1", "2", "3"], Slot)
    _, ids = wait(handles, two)
    assert ids == ["2", "1", "3"]
    assert wait(handles, one)[1] == wait(handles, three)[1] == []


def test_a_wait_watches_one_batch_at_most_itself_included() -> None:
    handles = Handles()
    slots = handles.add([str(i) for i in range(WATCH_IDS_MAX + 5)], Slot)
    _, ids = wait(handles, slots[-1])
    assert len(ids) == len(set(ids)) == WATCH_IDS_MAX
    assert ids[:2] == [slots[-1].id, "0"]


def test_two_handles_of_one_id_are_both_told() -> None:
    handles = Handles()
    one, two = (handles.add(["1"], Slot)[0] for _ in range(2))
    first, ids = wait(handles, one)
    assert ids == ["1"]
    second, _ = wait(handles, two)
    (three,) = handles.add(["1"], Slot)
    third, ids = wait(handles, three)  # asked for again: the first question may be older than it
    assert ids == ["1"]
    handles.deliver([succeeded("1")])
    assert [waiter.result(0) for waiter in (first, second, third)] == [succeeded("1")] * 3
    assert not handles._watched


def test_an_outcome_wakes_every_wait_and_answers_later_ones_at_once() -> None:
    handles = Handles()
    (one,) = handles.add(["1"], Slot)
    waits = [wait(handles, one)[0] for _ in range(3)]
    handles.deliver([succeeded("1")])
    assert [w.result(0) for w in [*waits, wait(handles, one)[0]]] == [succeeded("1")] * 4


def test_an_outcome_is_kept_for_a_handle_nobody_waits_for_yet() -> None:
    handles = Handles()
    one, two = handles.add(["1", "2"], Slot)
    wait(handles, one)
    handles.deliver([succeeded("2")])
    assert two.outcome == succeeded("2")
    assert one.outcome is None


def test_a_dropped_handle_costs_nothing_and_is_unwatched() -> None:
    handles = Handles()
    slots = handles.add(["1", "2", "3"], Slot)
    wait(handles, slots[0])
    slots += handles.add(["4"], Slot)
    del slots[1:]
    gc.collect()
    assert sorted(handles.sweep()) == ["2", "3"]
    assert list(handles._watched) == ["1"]
    assert not handles._idle


def test_a_handle_that_has_its_outcome_is_no_more_work() -> None:
    """A batch of ten thousand would be swept one by one, for nothing."""
    handles = Handles()
    slots = handles.add(["1", "2"], Slot)
    wait(handles, slots[0])
    handles.deliver([succeeded("1")])
    del slots
    gc.collect()
    assert [gone.id for gone in handles._dropped] == ["2"]
    assert handles.sweep() == ["2"]


def test_batches_are_watched_oldest_first_until_none_is_idle() -> None:
    handles = Handles()
    slots = handles.add([str(i) for i in range(2 * WATCH_IDS_MAX + 5)], Slot)
    watched = [wait(handles, slots[at])[1] for at in (0, WATCH_IDS_MAX, -1)]
    assert [len(ids) for ids in watched] == [WATCH_IDS_MAX, WATCH_IDS_MAX, 5]
    told = [id_ for ids in watched for id_ in ids]
    assert told[:-5] == [slot.id for slot in slots[:-5]]
    assert not handles._idle


def test_a_handle_made_anew_under_a_dropped_ones_id_is_not_swept_away() -> None:
    handles = Handles()
    handles.add(["1"], Slot)
    gc.collect()
    (again,) = handles.add(["1"], Slot)
    assert handles.sweep() == []
    waiter, ids = wait(handles, again)
    assert ids == ["1"]
    handles.deliver([succeeded("1")])
    assert waiter.result(0) == succeeded("1")


def test_handles_nobody_looked_at_do_not_grow_without_end() -> None:
    handles = Handles()
    while not handles.crowded:
        handles.add(["1"], Slot)
    gc.collect()
    handles.sweep()
    assert not any((handles._idle, handles._new, handles._dropped))


def test_unknown_answers_the_wait_that_asked_and_is_no_outcome() -> None:
    handles = Handles()
    (one,) = handles.add(["1"], Slot)
    waiter, _ = wait(handles, one)
    assert handles.deliver([unknown("1")]) == []
    assert waiter.result(0) == unknown("1")
    assert one.outcome is None
    assert wait(handles, one)[1] == ["1"]


def test_unknown_does_not_answer_a_wait_that_began_after_its_question() -> None:
    handles = Handles()
    one, two = handles.add(["1", "2"], Slot)
    wait(handles, one)  # asks about "2" as well
    waiter, ids = wait(handles, two)
    assert ids == []
    assert handles.deliver([unknown("2")]) == ["2"]
    assert not waiter.told
    handles.deliver([unknown("2")])
    assert waiter.result(0) == unknown("2")


def test_a_wait_given_up_is_forgotten() -> None:
    handles = Handles()
    (one,) = handles.add(["1"], Slot)
    waiter, _ = wait(handles, one)
    one.give_up(waiter)
    assert not one.waiters
    handles.deliver([succeeded("1")])
    assert not waiter.told


def test_closing_fails_every_wait() -> None:
    handles = Handles()
    (one,) = handles.add(["1"], Slot)
    waiter, _ = wait(handles, one)
    handles.fail_all(Unavailable("closed"))
    with pytest.raises(Unavailable, match="closed"):
        waiter.result(0)


def test_who_asks_after_a_watched_handle_was_dropped_is_told_too() -> None:
    handles = Handles()
    (first,) = handles.add(["t"], Slot)
    wait(handles, first)
    del first
    (second,) = handles.add(["t"], Slot)
    waiter, ids = wait(handles, second)
    assert ids == ["t"]
    assert handles.sweep() == []
    handles.deliver([succeeded("t")])
    assert waiter.result(0) == succeeded("t")


def test_an_unknown_that_a_dropped_handle_was_told_is_asked_for_again() -> None:
    handles = Handles()
    (first,) = handles.add(["t"], Slot)
    wait(handles, first)
    del first
    (second,) = handles.add(["t"], Slot)
    waiter, _ = wait(handles, second)
    assert handles.deliver([unknown("t")]) == ["t"]
    assert not waiter.told


def test_an_outcome_that_is_watched_since_the_enqueue_needs_no_watch() -> None:
    handles = Handles()
    one = Slot("1")
    handles.stand(one)
    waiter, ids = wait(handles, one)
    assert ids == []
    handles.deliver([succeeded("1")])
    assert waiter.result(0) == succeeded("1")


def test_a_wait_has_the_next_outcome_watched_with_its_enqueue() -> None:
    handles = Handles()
    (one,) = handles.add(["1"], Slot)
    before = handles.awaited
    wait(handles, one)
    assert (before, handles.awaited) == (False, True)
    two = Slot("2")
    handles.stand(two)
    wait(handles, two)
    handles.deliver([succeeded("1"), succeeded("2")])
    assert handles.awaited


def test_an_outcome_that_nobody_waits_for_has_the_next_one_not_watched() -> None:
    handles = Handles()
    (one,) = handles.add(["1"], Slot)
    wait(handles, one)
    two = Slot("2")
    handles.stand(two)
    handles.deliver([succeeded("1"), succeeded("2")])
    assert not handles.awaited


def test_a_handle_that_is_dropped_unasked_has_the_next_outcome_not_watched() -> None:
    handles = Handles()
    (one,) = handles.add(["1"], Slot)
    wait(handles, one)
    two = Slot("2")
    handles.stand(two)
    del two
    gc.collect()
    assert handles.sweep() == ["2"]
    assert not handles.awaited
