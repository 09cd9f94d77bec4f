"""A worker is told that tasks are to end: what has not begun goes back, code that runs is asked."""

from raftwork.features.cancel import CancelRuns
from raftwork.messages import PushedTask
from raftwork.worker.agent import Turn
from tests.unit.worker.conversation import A, B, Conversation, task


class Talk(Conversation):
    """With a pool that was asked to cancel these."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[set[int]] = []

    def perform(self, turn: Turn) -> None:
        super().perform(turn)
        if turn.cancel:
            self.asked.append(turn.cancel)
            back: list[PushedTask] = [t for t in self.waiting if t.token in turn.cancel]
            self.waiting = [t for t in self.waiting if t.token not in turn.cancel]
            self.agent.unstarted(back)
            self.turn()

    def cancel(self, *tokens: int) -> None:
        self.hear(self.leader, CancelRuns(self.epoch, self.session, list(tokens)))


def test_what_runs_is_asked_and_what_waits_is_handed_back() -> None:
    talk = Talk()
    talk.join()
    talk.push(task(1), task(2), task(3))
    talk.begin(1, 2)
    talk.cancel(1, 3, 99)
    assert talk.asked == [{1, 3}]
    assert talk.released() == [3]
    talk.end(1)
    assert talk.reported() == [1]


def test_what_is_parked_never_reaches_the_pool() -> None:
    talk = Talk()
    talk.join()
    talk.push(task(1), task(2), task(3))
    talk.begin(1, 2)
    talk.agent.receive(A, CancelRuns(talk.epoch, talk.session, [3]), talk.now)
    talk.agent.withdrawn(talk.waiting)  # it is parked by now
    talk.waiting = []
    talk.turn()
    assert talk.asked == []
    assert talk.released() == [3]


def test_it_is_asked_once_whatever_later_sessions_say() -> None:
    """A coroutine that cleans up must not be cancelled again."""
    talk = Talk()
    talk.join()
    talk.push(task(1))
    talk.begin(1)
    talk.cancel(1)
    talk.join(B, epoch=2)
    talk.cancel(1)
    assert talk.asked == [{1}]


def test_an_older_session_asks_nothing() -> None:
    talk = Talk()
    talk.join()
    talk.push(task(1))
    talk.begin(1)
    talk.hear(talk.leader, CancelRuns(talk.epoch, talk.session - 1, [1]))
    assert talk.asked == []


def test_a_cancelled_task_that_fails_is_no_failure_in_the_log() -> None:
    from raftwork.worker.runner import Ended, failure

    talk = Talk()
    talk.join()
    talk.push(task(1), task(2))
    talk.begin(1, 2)
    talk.cancel(1)
    talk.agent.ended([Ended(failure(t, "E", "m"), 1_000) for t in (1, 2)], talk.now)
    assert [each.token for each, _ in talk.agent.turn(talk.now).ends] == [2]
