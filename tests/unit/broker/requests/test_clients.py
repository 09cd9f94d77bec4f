"""Clients: acknowledged when applied, told outcomes at once and everything else after a barrier."""

from collections.abc import Sequence

import pytest

from raftwork.broker.machine import Limits
from raftwork.broker.machine.commands import Assign, Finish
from raftwork.broker.requests import clients as module
from raftwork.broker.requests import result_outbox
from raftwork.broker.requests.clients import TURN_IDS, Clients, PendingEnqueue
from raftwork.features.effects import Settled
from raftwork.features.enqueue import Enqueue, Enqueued
from raftwork.features.queue_settings import Configure
from raftwork.features.results import (
    Answer,
    Ask,
    Results,
    Watch,
    Watched,
)
from raftwork.messages import (
    ID_MAX,
    PAYLOAD_MAX,
    WATCH_IDS_MAX,
    Code,
    FromBroker,
    Refused,
    Result,
    State,
)
from raftwork.wire import pack
from tests.unit.broker.queues import Queues, enqueue

ME, OTHER = b"me", b"other"


class Counter:
    """Clients' requests on a machine; entries are applied when told to."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.queues = Queues(limits or Limits())
        self.clients = Clients(self.queues.machine)
        self.barriers = 0

    def enqueue(self, *ids: str, request: int = 1, payload: bytes = b"", me: bytes = ME) -> None:
        _, spec, tasks, _ = enqueue(*ids, payload=payload)
        self.clients.enqueue(me, Enqueue(request, 0, spec, tasks))

    def commit(self) -> None:
        for command, pending in self.clients.commands():
            self.clients.applied(pending, self.queues.apply(command).replies[0])

    def finish(self, seq: int, data: bytes = b"v") -> None:
        self.queues.apply(Assign(b"w", [seq]))
        token = max(run.token for run in self.queues.machine.running())
        for effect in self.queues.effects(Finish([(token, data)])):
            assert isinstance(effect, Settled)
            self.clients.settled(effect)

    def barrier(self) -> None:
        self.barriers += 1
        self.clients.questions.barrier(self.barriers)
        self.clients.read_ready(self.barriers)

    def sent(self, me: bytes = ME) -> list[FromBroker]:
        return [message for routing, message in self.clients.frames() if routing == me]


@pytest.fixture
def counter() -> Counter:
    return Counter()


# ---- enqueue ----------------------------------------------------------------------------------


def test_an_enqueue_is_acknowledged_when_it_is_applied_not_before(counter: Counter) -> None:
    counter.enqueue("a", request=7)
    assert counter.sent() == []
    counter.commit()
    assert counter.sent() == [Enqueued(7)]


def test_a_request_that_is_on_its_way_is_not_proposed_again(counter: Counter) -> None:
    for _ in range(3):
        counter.enqueue("a", request=7)
    assert len(counter.clients.commands()) == 1
    counter.enqueue("a", request=7)
    assert counter.clients.commands() == []


def test_a_request_asked_again_after_its_answer_was_lost_is_answered_again(
    counter: Counter,
) -> None:
    for _ in range(2):
        counter.enqueue("a", request=7)
        counter.commit()
        assert counter.sent() == [Enqueued(7)]
    assert [q.queued for q in counter.queues.machine.queues()] == [1]


def test_what_is_stored_is_acknowledged_at_once_and_proposed_no_more(counter: Counter) -> None:
    counter.enqueue("a", "b")
    counter.commit()
    counter.sent()
    counter.enqueue("a", "b", request=2, me=OTHER)
    counter.enqueue("b", request=3, me=OTHER)
    assert counter.sent(OTHER) == [Enqueued(2), Enqueued(3)]
    assert counter.clients.commands() == []


def test_what_is_stored_is_acknowledged_however_long_ago_it_was_tried_first(
    counter: Counter,
) -> None:
    counter.enqueue("a")
    counter.commit()
    counter.sent()
    counter.queues.time += counter.queues.machine._ledger.limits.window + 1
    counter.enqueue("a", request=2)
    assert counter.sent() == [Enqueued(2)]
    counter.enqueue("a", "b", request=3)
    counter.commit()
    (refused,) = counter.sent()
    assert isinstance(refused, Refused)
    assert (refused.request, refused.code) == (3, Code.PROTOCOL)


def test_a_batch_of_which_some_is_new_is_acknowledged_when_that_is_applied(
    counter: Counter,
) -> None:
    counter.enqueue("a", "b")
    counter.commit()
    counter.sent()
    for request, ids in enumerate([("a", "c"), ("d", "b")], start=2):
        counter.enqueue(*ids, request=request)
        assert counter.sent() == []
        counter.commit()
        assert counter.sent() == [Enqueued(request)]
    assert [q.queued for q in counter.queues.machine.queues()] == [4]


def test_other_contents_for_what_is_stored_are_refused_unproposed(counter: Counter) -> None:
    counter.enqueue("a", payload=b"1")
    counter.commit()
    counter.sent()
    counter.enqueue("a", "b", request=2, payload=b"2")
    (refused,) = counter.sent()
    assert isinstance(refused, Refused)
    assert (refused.request, refused.code) == (2, Code.PROTOCOL)
    assert counter.clients.commands() == []


def test_the_same_request_number_of_another_session_is_another_request(counter: Counter) -> None:
    counter.enqueue("a", request=7)
    counter.enqueue("b", request=7, me=OTHER)
    counter.commit()
    assert dict(counter.clients.frames()) == {ME: Enqueued(7), OTHER: Enqueued(7)}


def test_an_id_with_other_contents_is_refused_when_it_is_applied(counter: Counter) -> None:
    counter.enqueue("a", payload=b"1")
    counter.enqueue("a", request=2, payload=b"2")
    counter.commit()
    acknowledged, refused = counter.sent()
    assert acknowledged == Enqueued(1)
    assert isinstance(refused, Refused)
    assert (refused.request, refused.code) == (2, Code.PROTOCOL)
    assert "'a'" in refused.text


@pytest.mark.parametrize(
    ("spec", "tasks", "code"),
    [
        (b"", pack([]), Code.PROTOCOL),
        (enqueue().spec, b"\xc1", Code.PROTOCOL),
        (enqueue().spec, pack([["a"]]), Code.PROTOCOL),
        (enqueue().spec, pack([["a", b"x" * (PAYLOAD_MAX + 1)]]), Code.PAYLOAD_TOO_LARGE),
        (b"x" * 100_000, pack([]), Code.PAYLOAD_TOO_LARGE),
    ],
)
def test_what_the_machine_would_refuse_is_refused_unproposed(
    counter: Counter, spec: bytes, tasks: bytes, code: Code
) -> None:
    counter.clients.enqueue(ME, Enqueue(3, 0, spec, tasks))
    assert counter.clients.commands() == []
    (refused,) = counter.sent()
    assert isinstance(refused, Refused)
    assert (refused.request, refused.code) == (3, code)


def test_a_full_queue_pushes_back() -> None:
    counter = Counter(Limits(tasks=1))
    counter.enqueue("a")
    counter.commit()
    counter.enqueue("b", request=2)
    assert isinstance(counter.sent()[1], Refused)
    counter.enqueue("a", request=3)  # stored already: it needs no room
    counter.commit()
    assert counter.sent() == [Enqueued(3)]


def test_what_is_on_its_way_is_bounded_even_if_it_holds_no_task(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PENDING_BYTES_MAX", 10 * module.ENQUEUE_BYTES)
    for request in range(100):
        counter.enqueue(request=request)
    refused = [m for m in counter.sent() if isinstance(m, Refused)]
    assert {m.code for m in refused} == {Code.QUEUE_FULL}
    assert len(refused) > 85
    counter.commit()
    counter.sent()
    counter.enqueue("a", request=200)  # there is room again
    counter.commit()
    assert counter.sent() == [Enqueued(200)]


def test_a_leader_that_takes_in_no_more_still_acknowledges_what_it_has(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter.enqueue("a", "b", request=1)
    counter.commit()
    counter.sent()
    monkeypatch.setattr(module, "PENDING_BYTES_MAX", 1)
    counter.enqueue("a", "b", request=2)
    counter.enqueue("a", "c", request=3)
    done, refused = counter.sent()
    assert done == Enqueued(2)
    assert isinstance(refused, Refused)
    assert (refused.request, refused.code) == (3, Code.QUEUE_FULL)
    assert "try again later" in refused.text
    assert counter.clients.commands() == []


def test_a_leader_that_takes_in_no_more_refuses_other_contents_for_a_known_id(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter.enqueue("a", payload=b"1", request=1)
    counter.commit()
    counter.sent()
    monkeypatch.setattr(module, "PENDING_BYTES_MAX", 1)
    counter.enqueue("a", payload=b"2", request=2)
    (refused,) = counter.sent()
    assert isinstance(refused, Refused)
    assert (refused.request, refused.code) == (2, Code.PROTOCOL)


def test_a_full_queue_refuses_before_anything_is_proposed(counter: Counter) -> None:
    counter.queues.apply(Configure("default", None, 1, None))
    counter.enqueue("a", request=1)
    counter.enqueue("b", request=2)  # the leader cannot know yet: the log decides
    counter.commit()
    assert [type(message) for message in counter.sent()] == [Enqueued, Refused]
    counter.enqueue("c", request=3)
    assert counter.clients.commands() == []
    (refused,) = counter.sent()
    assert isinstance(refused, Refused) and refused.code is Code.QUEUE_FULL
    counter.enqueue("a", request=4)
    counter.commit()
    assert counter.sent() == [Enqueued(4)]


def test_a_client_that_left_has_its_enqueue_stored_all_the_same(counter: Counter) -> None:
    counter.enqueue("a")
    counter.clients.gone(ME)
    counter.commit()
    assert counter.queues.machine.lookup(["a"])[0].state is State.QUEUED
    assert counter.clients._pending == set()
    assert counter.clients._pending_bytes == 0


def test_the_fate_of_a_pending_enqueue_is_told_once(counter: Counter) -> None:
    counter.enqueue("a", request=7)
    ((command, pending),) = counter.clients.commands()
    assert pending == PendingEnqueue(ME, 7, pending.size, "default", "job", 1)
    counter.clients.applied(pending, counter.queues.apply(command).replies[0])
    assert counter.sent() == [Enqueued(7)]
    assert counter.sent() == []


# ---- watch ------------------------------------------------------------------------------------


def test_a_finished_task_is_told_at_once(counter: Counter) -> None:
    counter.enqueue("a")
    counter.commit()
    counter.finish(1)
    counter.sent()
    counter.clients.watch(ME, Watch(5, ["a"]))
    assert counter.sent() == [Watched(5), Results([Result("a", State.SUCCEEDED, b"v")])]
    assert not counter.clients.questions.asking


def test_an_unfinished_task_is_told_when_it_ends_and_once(counter: Counter) -> None:
    counter.enqueue("a")
    counter.commit()
    counter.sent()
    for _ in range(2):
        counter.clients.watch(ME, Watch(5, ["a", "a"]))
    counter.clients.watch(OTHER, Watch(1, ["a"]))
    assert counter.sent() == [Watched(5), Watched(5)]
    counter.finish(1)
    frames = dict(counter.clients.frames())
    assert frames[ME] == frames[OTHER] == Results([Result("a", State.SUCCEEDED, b"v")])
    assert counter.sent() == []


def test_unknown_is_told_only_behind_a_barrier(counter: Counter) -> None:
    counter.clients.watch(ME, Watch(5, ["nobody's"]))
    assert counter.sent() == [Watched(5)]
    assert counter.clients.questions.asking
    counter.barrier()
    assert counter.sent() == [Results([Result("nobody's", State.UNKNOWN, b"")])]


def test_a_task_that_arrives_before_the_barrier_is_not_told_as_unknown(counter: Counter) -> None:
    counter.clients.watch(ME, Watch(5, ["a"]))
    counter.enqueue("a")
    counter.commit()
    counter.barrier()
    assert counter.sent() == [Watched(5), Enqueued(1)]
    counter.finish(1)
    assert counter.sent() == [Results([Result("a", State.SUCCEEDED, b"v")])]


def test_a_barrier_answers_what_was_asked_before_it_and_nothing_else(counter: Counter) -> None:
    counter.clients.ask(ME, Ask(1, ["a"]))
    counter.clients.questions.barrier(1)
    counter.clients.ask(ME, Ask(2, ["a"]))
    counter.clients.read_ready(1)
    assert [m.request for m in counter.sent() if isinstance(m, Answer)] == [1]
    assert counter.clients.questions.asking
    counter.clients.read_ready(99)  # nobody asked
    assert counter.sent() == []


def test_a_million_questions_are_answered_by_slices_and_each_of_them(counter: Counter) -> None:
    """One turn that answered them all would be longer than an election timeout."""
    counter.enqueue("a")
    counter.commit()
    counter.sent()
    looked_up: list[int] = []
    states = counter.queues.machine.states

    def counting(ids: Sequence[str]) -> list[State]:
        looked_up.append(len(ids))
        return states(ids)

    counter.queues.machine.states = counting  # type: ignore[method-assign]
    ids = ["a", *map(str, range(2 * TURN_IDS))]
    for request in range(3):
        counter.clients.ask(ME, Ask(request, ids))
    counter.barrier()
    answers: list[Answer] = []
    while counter.clients.waiting:
        looked_up.clear()
        answers += [m for m in counter.sent() if isinstance(m, Answer)]
        assert 0 < sum(looked_up) <= TURN_IDS
    assert [answer.request for answer in answers] == [0, 1, 2]
    known = [result.state for result in answers[0].results]
    assert known == [State.QUEUED] + [State.UNKNOWN] * (2 * TURN_IDS)
    assert all([result.id for result in answer.results] == ids for answer in answers)
    assert counter.clients._asked_ids == 0


def test_nothing_is_left_of_a_client_that_left(counter: Counter) -> None:
    counter.enqueue("a")
    counter.commit()
    counter.sent()
    counter.clients.watch(ME, Watch(5, ["a", "b"]))
    counter.sent()
    counter.clients.gone(ME)
    counter.barrier()
    counter.finish(1)
    assert not counter.clients._deliveries._watchers
    assert not counter.clients._deliveries._watched
    assert counter.sent() == []


def test_asking_for_unknown_ids_for_ever_uses_nothing_up(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_outbox, "WATCHES_PER_SESSION", 10)
    for i in range(30):
        counter.clients.watch(ME, Watch(i, [f"{i}"]))
        counter.barrier()
        assert not any(isinstance(m, Refused) for m in counter.sent())
    assert not counter.clients._deliveries._watchers


def test_watches_are_bounded_and_renewing_them_is_free(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_outbox, "WATCHES_PER_SESSION", 4)
    counter.enqueue(*"abcde")
    counter.commit()
    counter.sent()
    for _ in range(3):
        counter.clients.watch(ME, Watch(1, list("abcd")))
    assert counter.sent() == [Watched(1)] * 3
    counter.clients.watch(ME, Watch(2, ["e"]))
    (refused,) = counter.sent()
    assert isinstance(refused, Refused)
    assert refused.code is Code.QUEUE_FULL


@pytest.mark.parametrize(
    "ids", [["i"] * (WATCH_IDS_MAX + 1), ["i" * (ID_MAX + 1)]], ids=["many", "long"]
)
def test_too_many_or_too_long_ids_are_refused_with_both_sizes(
    counter: Counter, ids: list[str]
) -> None:
    counter.clients.watch(ME, Watch(1, ids))
    counter.clients.ask(ME, Ask(2, ids))
    refusals = [m for m in counter.sent() if isinstance(m, Refused)]
    assert [(m.request, m.code) for m in refusals] == [(1, Code.PROTOCOL), (2, Code.PROTOCOL)]
    assert not counter.clients.questions.asking


def test_an_id_asked_for_many_times_is_told_once(counter: Counter) -> None:
    counter.enqueue("a")
    counter.commit()
    counter.finish(1, b"x" * PAYLOAD_MAX)
    counter.sent()
    counter.clients.watch(ME, Watch(1, ["a"] * WATCH_IDS_MAX))
    counter.clients.ask(ME, Ask(2, ["a"] * WATCH_IDS_MAX))
    counter.barrier()
    sent = counter.sent()
    assert [len(m.results) for m in sent if isinstance(m, Results | Answer)] == [1, 1]


def test_results_are_cut_into_frames_by_size(counter: Counter) -> None:
    counter.enqueue(*"abc")
    counter.commit()
    for seq in (1, 2, 3):
        counter.finish(seq, b"x" * (result_outbox.RESULTS_BYTES * 2 // 3))
    counter.sent()
    counter.clients.watch(ME, Watch(1, list("abc")))
    assert [len(m.results) for m in counter.sent() if isinstance(m, Results)] == [2, 1]


# ---- ask --------------------------------------------------------------------------------------


def test_a_question_is_answered_behind_a_barrier_in_the_order_of_its_ids(counter: Counter) -> None:
    counter.enqueue(*"abc")
    counter.commit()
    counter.finish(1)
    counter.queues.apply(Assign(b"w", [2]))
    counter.sent()
    counter.clients.ask(ME, Ask(9, ["c", "nobody's", "b", "a"]))
    assert counter.sent() == []
    counter.barrier()
    (answer,) = counter.sent()
    assert isinstance(answer, Answer)
    assert [r.id for r in answer.results] == ["c", "nobody's", "b", "a"]
    states = [State.QUEUED, State.UNKNOWN, State.RUNNING, State.SUCCEEDED]
    assert [r.state for r in answer.results] == states


def test_an_answer_tells_states_and_carries_no_results(counter: Counter) -> None:
    ids = [f"{i}" for i in range(20)]
    counter.enqueue(*ids)
    counter.commit()
    for seq in range(1, 21):
        counter.finish(seq, b"x" * PAYLOAD_MAX)
    counter.sent()
    counter.clients.ask(ME, Ask(1, ids))
    counter.barrier()
    (answer,) = counter.sent()
    assert answer == Answer(1, [Result(id_, State.SUCCEEDED, b"") for id_ in ids])


def test_questions_that_wait_are_bounded(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ASKED_IDS_MAX", 5)
    for request in range(9):
        counter.clients.ask(ME, Ask(request, ["a"]))
    assert [m.code for m in counter.sent() if isinstance(m, Refused)] == [Code.QUEUE_FULL] * 4
    counter.barrier()
    assert len(counter.sent()) == 5
    counter.clients.ask(ME, Ask(10, ["a"]))
    assert counter.clients.questions.asking
