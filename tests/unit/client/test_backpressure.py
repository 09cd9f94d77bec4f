"""Enqueues that wait for room ask by turns, and each gets its own fate."""

from collections.abc import Sequence

import pytest

from raftwork.client.backpressure import PAUSE_FIRST_MS, PAUSE_MAX_MS
from raftwork.client.calls import Call
from raftwork.errors import PayloadTooLarge, QueueFull, Unavailable
from raftwork.features.enqueue import Enqueue, Enqueued
from raftwork.messages import Code, Leader, Refused
from raftwork.wire import pack
from tests.unit.client.playing import A, B, Play

#: What A says to a Ping: time may pass without it being taken for lost.
ALIVE = A, Leader(1, "x", A, active=True, time=0)


def formed() -> Play:
    play = Play()
    play.formed()
    return play


def wait(play: Play, *ids: str, spec: bytes = b"spec", timeout: int = 60_000) -> None:
    """Calls of one task each, which wait for room, all submitted in one turn."""
    calls = [
        Call(
            Enqueue(0, 0, spec, pack([(id_, b"")])),
            Enqueued,
            play.now + timeout,
            ids=(id_,),
            wait_when_full=True,
        )
        for id_ in ids
    ]
    play.session.submit_all(calls, play.now)
    play.collect()


def full(play: Play, code: Code = Code.QUEUE_FULL) -> None:
    """The leader has no room for what it was sent last."""
    play.say(A, Refused(play.enqueues[-1].request, code, "queue 'q' is full"))


def taken(play: Play) -> None:
    play.say(A, Enqueued(play.enqueues[-1].request))


def asked_next(play: Play) -> list[str]:
    """Let time pass until something more is asked."""
    sent = len(play.enqueues)
    while len(play.enqueues) == sent:
        play.run(1, ALIVE)
    return play.shared[-1]


def told(play: Play) -> list[str]:
    """The ids of the tasks whose calls have ended well since the last time."""
    answers, play.answers = play.answers, []
    assert [answer.error for answer in answers] == [None] * len(answers)
    return [answer.call.ids[0] for answer in answers]


def names(*numbers: int) -> list[str]:
    return [f"t{n}" for n in numbers]


def test_those_who_come_while_one_waits_for_room_stand_behind_it_unsent() -> None:
    play = formed()
    wait(play, "t0")
    full(play)
    wait(play, "t1")
    wait(play, "t2", "t3")
    assert play.shared == [["t0"]]

    assert asked_next(play) == ["t0"]
    taken(play)
    assert play.shared[2:] == [names(1, 2, 3)], "at once, and together"
    taken(play)
    assert told(play) == names(0, 1, 2, 3)
    assert play.session.wake_at is not None
    play.run(20_000)
    assert play.session.wake_at is None


def test_many_that_wait_ask_as_seldom_as_one() -> None:
    def asked_within_10_s(callers: int) -> int:
        play = formed()
        wait(play, "t0")
        full(play)
        for n in range(1, callers):
            wait(play, f"t{n}")
        until = play.now + 10_000
        while play.now < until:
            asked_next(play)
            full(play)
        return len(play.enqueues)

    one, many = asked_within_10_s(1), asked_within_10_s(100)
    assert many <= 2 * one
    assert one >= 10_000 / (2 * PAUSE_MAX_MS)


def test_what_is_refused_together_asks_in_halves_and_what_is_taken_doubles() -> None:
    play = formed()
    wait(play, *names(*range(8)))
    (first,) = play.enqueues
    sizes = [8]
    while sizes[-1] > 1:
        full(play)
        sizes.append(len(asked_next(play)))
    assert sizes == [8, 4, 2, 1]
    for _ in range(4):
        taken(play)
    assert [len(ids) for ids in play.shared] == [8, 4, 2, 1, 1, 2, 4]
    assert told(play) == names(*range(8)), "each in its order"
    assert {sent.created for sent in play.enqueues} == {first.created}
    assert len({sent.request for sent in play.enqueues}) == len(play.enqueues)


def test_what_was_under_way_when_a_line_began_stands_in_it() -> None:
    play = formed()
    wait(play, "t0")
    wait(play, "t1")
    first, second = play.enqueues
    wait(play, "other", spec=b"another")
    play.say(A, Refused(first.request, Code.QUEUE_FULL, "full"))
    play.say(A, Refused(second.request, Code.QUEUE_FULL, "full"))
    wait(play, "t2")
    sent = len(play.enqueues)
    assert asked_next(play) == ["t0"]
    taken(play)
    taken(play)
    taken(play)
    assert play.shared[sent:] == [["t0"], ["t1"], ["t2"]]
    assert told(play) == names(0, 1, 2)


def test_each_spec_and_each_batch_waits_by_itself() -> None:
    play = formed()
    wait(play, "t0")
    full(play)
    wait(play, "u0", spec=b"another")
    assert play.shared[-1] == ["u0"]
    batch = play.enqueue("a", "b", wait_when_full=True)
    full(play)
    assert play.shared[-1] == ["a", "b"]
    play.enqueue("c", "d", wait_when_full=True)
    assert play.shared[-1] == ["c", "d"]
    while play.shared[-1] != ["a", "b"]:
        asked_next(play)
    assert play.enqueues[-1].request == batch


def test_who_does_not_wait_for_room_asks_at_once() -> None:
    play = formed()
    wait(play, "t0")
    full(play)
    number = play.enqueue("impatient")
    assert play.shared[-1] == ["impatient"]
    full(play)
    assert [(a.call.number, type(a.error)) for a in play.answers] == [(number, QueueFull)]


def test_pauses_grow_while_there_is_no_room_and_begin_anew_once_there_was() -> None:
    play = formed()
    wait(play, "t0")
    pauses = []
    for _ in range(7):
        full(play)
        before = play.now
        asked_next(play)
        pauses.append(play.now - before)
    assert pauses[-1] >= PAUSE_MAX_MS / 2 > PAUSE_FIRST_MS * 1.5 >= pauses[0]
    wait(play, "t1")
    taken(play)
    before = play.now
    full(play)
    assert asked_next(play) == ["t1"]
    assert play.now - before <= PAUSE_FIRST_MS * 1.5 + 1


@pytest.mark.parametrize("behind", [0, 2])
def test_one_behind_the_first_ends_at_its_deadline_as_full_and_is_sent_no_more(behind: int) -> None:
    play = formed()
    wait(play, "t0")
    full(play)
    wait(play, *names(*range(1, 1 + behind)))
    wait(play, "late", timeout=30)
    play.run(30)
    (answer,) = play.answers
    assert answer.call.ids == ("late",)
    assert isinstance(answer.error, QueueFull)
    asked_next(play)
    play.answers.clear()
    for _ in range(2 if behind else 1):  # those behind go together
        taken(play)
    assert told(play) == names(*range(1 + behind))
    assert all("late" not in ids for ids in play.shared)


def test_one_that_ends_leaves_those_with_whom_it_was_refused() -> None:
    play = formed()
    wait(play, "t0", "t1")
    (number,) = [sent.request for sent in play.enqueues]
    wait(play, "t2")
    wait(play, "t3", timeout=20)
    play.say(A, Refused(number, Code.QUEUE_FULL, "full"))
    play.say(A, *(Refused(s.request, Code.QUEUE_FULL, "full") for s in play.enqueues[1:]))
    play.run(20)
    assert [answer.call.ids for answer in play.answers] == [("t3",)]
    play.answers.clear()
    asked_next(play)
    for _ in range(3):
        taken(play)
    assert told(play) == names(0, 1, 2)


def test_the_first_that_ends_by_itself_lets_the_next_one_ask() -> None:
    play = formed()
    wait(play, "t0", timeout=100)
    full(play)
    wait(play, "t1")
    asked_next(play)
    play.run(100)  # no answer comes in time
    (answer,) = play.answers
    assert isinstance(answer.error, Unavailable | QueueFull)
    assert play.shared[-1] == ["t1"]


def test_one_that_is_refused_for_another_reason_lets_the_next_one_ask() -> None:
    play = formed()
    wait(play, "t0")
    full(play)
    wait(play, "t1")
    asked_next(play)
    full(play, Code.PAYLOAD_TOO_LARGE)
    assert [type(answer.error) for answer in play.answers] == [PayloadTooLarge]
    assert play.shared[-1] == ["t1"]


def test_a_new_leader_is_asked_by_the_first_alone() -> None:
    play = formed()
    wait(play, "t0", "t1")
    full(play)
    wait(play, "t2")
    play.lead(B, epoch=2)
    sent = len(play.enqueues)
    while len(play.enqueues) < sent + 1:
        play.run(1, (B, Leader(2, "x", B, active=True, time=0)))
    assert play.shared[sent:] == [["t0"]]
    for _ in range(3):
        play.say(B, Enqueued(play.enqueues[-1].request))
    assert told(play) == names(0, 1, 2)


def test_closing_ends_all_that_wait() -> None:
    play = formed()
    wait(play, "t0", "t1", "t2")
    full(play)
    wait(play, "t3")
    play.session.abandon("closed")
    play.collect()
    ended: Sequence[tuple[str, ...]] = [answer.call.ids for answer in play.answers]
    assert sorted(ended) == [(name,) for name in names(0, 1, 2, 3)]
    assert all(isinstance(answer.error, Unavailable) for answer in play.answers)
