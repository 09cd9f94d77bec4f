"""A cancel on the leader: what it may name, and how a large one goes through the log by parts."""

import pytest

from raftwork.broker.machine.commands import Assign
from raftwork.features import cancel
from raftwork.features.cancel import GRACE_MAX_MS, IDS_MAX, CancelTasks, Scope, TasksCancelled
from raftwork.messages import Code, Refused, State
from tests.unit.broker.request_harness import RequestHarness


@pytest.fixture
def harness() -> RequestHarness:
    harness = RequestHarness()
    harness.enqueue(*"abcde")
    harness.commit()
    harness.sent()
    return harness


def of_ids(*ids: str, request: int = 7, grace: int = 100) -> CancelTasks:
    return CancelTasks(request, Scope.IDS, list(ids), "", "", grace)


EVERYTHING = CancelTasks(7, Scope.ALL, [], "", "", 100)


def carry_out(harness: RequestHarness, request: CancelTasks) -> tuple[int, int]:
    """How many it told of, and how many entries it took."""
    assert harness.ask(request) == []
    for entries in range(1, 99):
        harness.next_turn()
        harness.commit()
        told = [m for m in harness.sent() if isinstance(m, TasksCancelled | Refused)]
        if told:
            (answer,) = told
            assert isinstance(answer, TasksCancelled)
            return answer.cancelled, entries
    raise AssertionError("it never ended")


def test_everything_ends_by_parts(harness: RequestHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancel, "_PART", 2)
    assert carry_out(harness, EVERYTHING) == (5, 3)
    assert set(harness.machine.states([*"abcde"])) == {State.CANCELLED}
    assert harness.under_way() == 0


def test_many_ids_are_looked_up_by_parts(
    harness: RequestHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancel, "_PART", 2)
    assert carry_out(harness, of_ids(*"edc", "nobody's", "b")) == (4, 3)
    assert harness.machine.states([*"ab"]) == [State.QUEUED, State.CANCELLED]


def test_what_comes_in_after_it_was_asked_for_stays(
    harness: RequestHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancel, "_PART", 3)
    harness.say(EVERYTHING)
    harness.commit()
    harness.enqueue("f", request=2)
    harness.commit()
    harness.next_turn()
    harness.commit()
    assert TasksCancelled(7, 5) in harness.sent()
    assert harness.machine.states(["f"]) == [State.QUEUED]


def test_what_runs_counts_too(harness: RequestHarness) -> None:
    harness.queues.apply(Assign(b"w", [1, 2]))
    assert carry_out(harness, EVERYTHING) == (5, 1)
    assert harness.machine.states([*"abc"]) == [State.RUNNING, State.RUNNING, State.CANCELLED]


def test_the_only_id_must_be_known(harness: RequestHarness) -> None:
    harness.say(of_ids("nobody's"))
    harness.commit()
    (refused,) = harness.sent()
    assert isinstance(refused, Refused) and refused.code is Code.UNKNOWN_TASK


@pytest.mark.parametrize(
    "request_",
    [
        of_ids(),
        of_ids("a", grace=GRACE_MAX_MS + 1),
        of_ids("a", grace=-1),
        of_ids("a" * 300),
        of_ids(*["a"] * (IDS_MAX + 1)),
        EVERYTHING._replace(name="n"),
        EVERYTHING._replace(ids=["a"]),
        EVERYTHING._replace(scope=Scope.NAME),
        EVERYTHING._replace(scope=Scope.TAG, name="key"),
        EVERYTHING._replace(scope=Scope.QUEUE, name="q", value="v"),
    ],
)
def test_a_cancel_that_cannot_be_meant_is_refused(
    harness: RequestHarness, request_: CancelTasks
) -> None:
    (refused,) = harness.ask(request_)
    assert isinstance(refused, Refused) and refused.code is Code.PROTOCOL


def test_cancels_under_way_are_bounded(harness: RequestHarness) -> None:
    for request in range(cancel._CANCELS_MAX):
        assert harness.ask(EVERYTHING._replace(request=request)) == []
    (refused,) = harness.ask(EVERYTHING._replace(request=999))
    assert isinstance(refused, Refused) and refused.code is Code.QUEUE_FULL


def test_cancels_by_id_have_room_beside_those_that_look_through_all_tasks(
    harness: RequestHarness,
) -> None:
    by_name = CancelTasks(0, Scope.NAME, [], "another", "", 100)
    for request in range(cancel._CANCELS_MAX):
        assert harness.ask(by_name._replace(request=request)) == []
    (refused,) = harness.ask(EVERYTHING._replace(request=999, scope=Scope.QUEUE, name="default"))
    assert isinstance(refused, Refused)
    assert "cancels that look through all tasks are under way, 100 may be" in refused.text
    assert harness.ask(of_ids("a", request=1_000)) == []
    harness.commit()
    assert TasksCancelled(1_000, 1) in harness.sent()


def test_cancels_by_id_do_not_wait_for_the_parts_of_others(
    harness: RequestHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancel, "_PART", 1)
    for request in range(20):
        harness.say(CancelTasks(request, Scope.NAME, [], "another", "", 100))
    harness.commit()
    harness.say(of_ids("e", "d", "c", request=99))
    harness.commit()
    for _ in range(3):  # the last part finds that there is none
        assert TasksCancelled(99, 3) not in harness.sent()
        harness.next_turn()
        assert len(harness.processor.changes) == 2  # one of either kind
        harness.commit()
    told = [m for m in harness.sent() if isinstance(m, TasksCancelled) and m.request == 99]
    assert told == [TasksCancelled(99, 3)]


def test_below_level_two_it_says_what_to_do(harness: RequestHarness) -> None:
    harness.machine.state.level = 1
    (refused,) = harness.ask(EVERYTHING)
    assert isinstance(refused, Refused) and refused.code is Code.UNSUPPORTED
    assert "upgrade finish" in refused.text
