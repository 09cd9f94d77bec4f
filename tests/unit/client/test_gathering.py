"""Enqueues of one task each share requests, and none is told anything but its own fate."""

import pytest

from raftwork.client.calls import GATHERED_BYTES, GATHERED_TASK_BYTES, GATHERED_TASKS
from raftwork.client.requests import ALONE_MAX
from raftwork.errors import ProtocolError, QueueFull, RaftworkError, Unavailable
from raftwork.features.enqueue import Enqueued
from raftwork.features.results import Answer, Ask
from raftwork.messages import Code, Refused
from tests.unit.client.playing import A, B, Play


def formed() -> Play:
    play = Play()
    play.formed()
    return play


def crowded() -> tuple[Play, list[int]]:
    """As many are out as may be before others gather; and their numbers."""
    play = formed()
    return play, [play.enqueue(f"out{n}") for n in range(ALONE_MAX)]


def ended(play: Play) -> list[tuple[int, type[RaftworkError] | None]]:
    """The calls that have ended since the last time: their numbers and errors."""
    answers, play.answers = play.answers, []
    return [(a.call.number, type(a.error) if a.error else None) for a in answers]


def test_enqueues_of_one_turn_share_a_request_and_its_acknowledgement_ends_each() -> None:
    play = formed()
    numbers = play.enqueue_together("a", "b", "c")
    assert play.shared == [["a", "b", "c"]]
    play.say(A, Enqueued(play.enqueues[0].request))
    assert ended(play) == [(number, None) for number in numbers]
    play.run(10_000)
    assert play.session.wake_at is None


def test_few_callers_do_not_wait_for_each_other() -> None:
    play, numbers = crowded()
    assert play.shared == [[f"out{n}"] for n in range(ALONE_MAX)]
    assert [sent.request for sent in play.enqueues] == numbers


def test_what_comes_while_many_are_out_travels_together_once_one_is_answered() -> None:
    play, out = crowded()
    waiting = [play.enqueue(f"w{n}") for n in range(5)]
    assert len(play.enqueues) == ALONE_MAX
    play.say(A, Enqueued(out[2]))
    assert play.shared[ALONE_MAX:] == [["w0", "w1", "w2", "w3", "w4"]]
    play.answers.clear()
    play.say(A, Enqueued(play.enqueues[-1].request))
    assert ended(play) == [(number, None) for number in waiting]


def test_while_many_travel_together_the_others_gather() -> None:
    """Two halves take turns: one of them alone at a time would be many small requests again."""
    play = formed()
    play.enqueue_together(*(f"t{n}" for n in range(ALONE_MAX)))
    play.enqueue("a")
    play.enqueue("b")
    assert len(play.enqueues) == 1
    play.say(A, Enqueued(play.enqueues[0].request))
    assert play.shared[1:] == [["a", "b"]]
    play.enqueue("c")
    assert play.shared[2:] == [["c"]], "few are out"


def test_other_requests_and_batches_do_not_wait_with_them() -> None:
    play, _ = crowded()
    play.enqueue("waits")
    play.enqueue("two", "of them")
    play.enqueue("large", size=GATHERED_TASK_BYTES)
    play.call(Ask(0, ["a"]), Answer)
    assert play.shared[ALONE_MAX:] == [["two", "of them"], ["large"]]
    assert len(play.told(Ask)) == 1


def test_each_spec_has_requests_of_its_own_and_its_turn() -> None:
    play, out = crowded()
    play.enqueue_together("a", "b", spec=b"one")
    play.enqueue_together("c", "d", spec=b"another")
    play.enqueue_together("e", spec=b"one")
    play.say(A, Enqueued(out[0]))
    assert play.shared[ALONE_MAX:] == [["a", "b", "e"]]
    play.say(A, *map(Enqueued, out[1:]))
    assert play.shared[ALONE_MAX + 1 :] == [["c", "d"]]
    assert [sent.spec for sent in play.enqueues[ALONE_MAX:]] == [b"one", b"another"]


def test_a_shared_request_is_bounded_in_tasks_and_in_bytes() -> None:
    play = formed()
    play.enqueue_together(*(f"t{n}" for n in range(GATHERED_TASKS + 1)))
    assert [len(ids) for ids in play.shared] == [GATHERED_TASKS]
    play.say(A, Enqueued(play.enqueues[0].request))
    assert [len(ids) for ids in play.shared] == [GATHERED_TASKS, 1]

    play, out = crowded()
    size = GATHERED_TASK_BYTES - 100
    for n in range(2 * (GATHERED_BYTES // size)):
        play.enqueue(f"w{n}", size=size)
    play.say(A, Enqueued(out[0]))
    assert len(play.enqueues[-1].tasks) < GATHERED_BYTES + GATHERED_TASK_BYTES


@pytest.mark.parametrize("code", [Code.QUEUE_FULL, Code.PROTOCOL, Code.PAYLOAD_TOO_LARGE])
def test_a_shared_request_that_is_refused_is_asked_again_one_by_one(code: Code) -> None:
    """It may be due to any of them; so each gets an answer of its own."""
    play = formed()
    numbers = play.enqueue_together("a", "b", "c")
    (shared,) = play.enqueues
    play.now += 300
    play.say(A, Refused(shared.request, code, "not all"))
    assert play.answers == []
    parted = play.enqueues[1:]
    assert play.shared[1:] == [["a"], ["b"], ["c"]]
    assert [sent.request for sent in parted] == numbers
    assert {sent.created for sent in parted} == {shared.created}
    play.say(A, Enqueued(numbers[0]), Refused(numbers[1], code, "this"), Enqueued(numbers[2]))
    error = {Code.QUEUE_FULL: QueueFull, Code.PROTOCOL: ProtocolError}.get(code)
    told = ended(play)
    assert [told[0], told[2]] == [(numbers[0], None), (numbers[2], None)]
    assert told[1][0] == numbers[1]
    assert told[1][1] is not None
    assert error is None or told[1][1] is error


def test_a_late_answer_to_a_shared_request_ends_none_of_its_calls() -> None:
    play = formed()
    play.enqueue_together("a", "b")
    (shared,) = play.enqueues
    play.say(A, Refused(shared.request, Code.PROTOCOL, "one of them"))
    play.say(A, Enqueued(shared.request), Refused(shared.request, Code.PROTOCOL, "again"))
    assert play.answers == []


def test_refused_ones_do_not_wait_for_those_that_gather() -> None:
    play, out = crowded()
    play.enqueue_together("a", "b")
    play.say(A, Enqueued(out[0]))
    shared = play.enqueues[-1].request
    play.enqueue("later")
    play.heard.clear()
    play.say(A, Refused(shared, Code.PROTOCOL, "one of them"))
    assert play.shared == [["a"], ["b"], ["later"]]


def test_the_deadline_of_one_ends_that_one_alone() -> None:
    play = formed()
    (short,) = play.enqueue_together("short", timeout=1_000)
    play.heard.clear()
    play, out = crowded()
    (short,) = play.enqueue_together("short", timeout=1_000)
    (long,) = play.enqueue_together("long", timeout=5_000)
    play.say(A, Enqueued(out[0]))
    assert play.shared[ALONE_MAX:] == [["short", "long"]]
    play.answers.clear()
    play.run(1_000)
    assert ended(play) == [(short, Unavailable)]
    play.lead(B, epoch=2)
    play.say(B, Enqueued(play.enqueues[-1].request))
    assert (long, None) in ended(play)


def test_one_that_waits_its_turn_ends_at_its_deadline() -> None:
    play, _ = crowded()
    (late,) = play.enqueue_together("late", timeout=1_000)
    play.run(1_000)
    assert ended(play) == [(late, Unavailable)]
    assert ["late"] not in play.shared


def test_a_new_leader_gets_the_same_shared_request() -> None:
    play = formed()
    play.enqueue_together("a", "b")
    play.lead(B, epoch=2)
    first, second = play.enqueues
    assert first == second
    assert play.heard[-1][0] == B


def test_closing_ends_those_that_travel_together_and_those_that_wait() -> None:
    play, _ = crowded()
    play.enqueue_together("a", "b")
    play.session.abandon("closed")
    play.collect()
    assert [error for _, error in ended(play)] == [Unavailable] * (ALONE_MAX + 2)


def test_a_patient_one_among_refused_ones_waits_for_room() -> None:
    play, out = crowded()
    patient = play.enqueue("patient", wait_when_full=True)
    other = play.enqueue("other")
    play.say(A, Enqueued(out[0]))
    play.say(A, Refused(play.enqueues[-1].request, Code.QUEUE_FULL, "full"))
    play.answers.clear()
    play.say(A, Refused(patient, Code.QUEUE_FULL, "full"), Refused(other, Code.QUEUE_FULL, "full"))
    assert ended(play) == [(other, QueueFull)]
    play.run(2_000)
    assert play.shared[-1] == ["patient"]
    play.say(A, Enqueued(patient))
    assert (patient, None) in ended(play)
