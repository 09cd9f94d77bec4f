"""Tasks enter: acknowledged when applied, at once if they are in, refused before if possible."""

import pytest

from raftwork.broker.machine import Limits
from raftwork.broker.requests.desk import REQUEST_BYTES
from raftwork.features.enqueue import FEATURE, Enqueue, Enqueued
from raftwork.features.feature import Budget
from raftwork.features.queue_settings import Configure, changes
from raftwork.messages import PAYLOAD_MAX, Code, Refused, State
from raftwork.wire import pack
from tests.unit.broker.desks import ME, OTHER, Counter
from tests.unit.broker.queues import enqueue


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
    assert len(counter.wanted()) == 1
    counter.enqueue("a", request=7)
    assert counter.wanted() == []


def test_a_request_asked_again_after_its_answer_was_lost_is_answered_again(
    counter: Counter,
) -> None:
    for _ in range(2):
        counter.enqueue("a", request=7)
        counter.commit()
        assert counter.sent() == [Enqueued(7)]
    assert [q.queued for q in counter.machine.queues()] == [1]


def test_what_is_stored_is_acknowledged_at_once_and_proposed_no_more(counter: Counter) -> None:
    counter.enqueue("a", "b")
    counter.commit()
    counter.sent()
    counter.enqueue("a", "b", request=2, me=OTHER)
    counter.enqueue("b", request=3, me=OTHER)
    assert counter.sent(OTHER) == [Enqueued(2), Enqueued(3)]
    assert counter.wanted() == []


def test_what_is_stored_is_acknowledged_however_long_ago_it_was_tried_first(
    counter: Counter,
) -> None:
    counter.enqueue("a")
    counter.commit()
    counter.sent()
    counter.queues.time += counter.machine._ledger.limits.window + 1
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
    assert [q.queued for q in counter.machine.queues()] == [4]


def test_other_contents_for_what_is_stored_are_refused_unproposed(counter: Counter) -> None:
    counter.enqueue("a", payload=b"1")
    counter.commit()
    counter.sent()
    counter.enqueue("a", "b", request=2, payload=b"2")
    (refused,) = counter.sent()
    assert isinstance(refused, Refused)
    assert (refused.request, refused.code) == (2, Code.PROTOCOL)
    assert counter.wanted() == []


def test_the_same_request_number_of_another_session_is_another_request(counter: Counter) -> None:
    counter.enqueue("a", request=7)
    counter.enqueue("b", request=7, me=OTHER)
    counter.commit()
    assert dict(counter.frames()) == {ME: Enqueued(7), OTHER: Enqueued(7)}


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
    counter.say(Enqueue(3, 0, spec, tasks))
    assert counter.wanted() == []
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
    counter: Counter,
) -> None:
    counter.allow(FEATURE, Budget(bytes=10 * REQUEST_BYTES))
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
    counter: Counter,
) -> None:
    counter.enqueue("a", "b", request=1)
    counter.commit()
    counter.sent()
    counter.allow(FEATURE, Budget(bytes=1))
    counter.enqueue("a", "b", request=2)
    counter.enqueue("a", "c", request=3)
    done, refused = counter.sent()
    assert done == Enqueued(2)
    assert isinstance(refused, Refused)
    assert (refused.request, refused.code) == (3, Code.QUEUE_FULL)
    assert "try again later" in refused.text
    assert counter.wanted() == []


def test_a_leader_that_takes_in_no_more_refuses_other_contents_for_a_known_id(
    counter: Counter,
) -> None:
    counter.enqueue("a", payload=b"1", request=1)
    counter.commit()
    counter.sent()
    counter.allow(FEATURE, Budget(bytes=1))
    counter.enqueue("a", payload=b"2", request=2)
    (refused,) = counter.sent()
    assert isinstance(refused, Refused)
    assert (refused.request, refused.code) == (2, Code.PROTOCOL)


def test_a_full_queue_refuses_before_anything_is_proposed(counter: Counter) -> None:
    counter.queues.apply(Configure("default", changes(max_length=1)))
    counter.enqueue("a", request=1)
    counter.enqueue("b", request=2)  # the leader cannot know yet: the log decides
    counter.commit()
    assert [type(message) for message in counter.sent()] == [Enqueued, Refused]
    counter.enqueue("c", request=3)
    assert counter.wanted() == []
    (refused,) = counter.sent()
    assert isinstance(refused, Refused) and refused.code is Code.QUEUE_FULL
    counter.enqueue("a", request=4)
    counter.commit()
    assert counter.sent() == [Enqueued(4)]


def test_a_client_that_left_has_its_enqueue_stored_all_the_same(counter: Counter) -> None:
    counter.enqueue("a")
    counter.desk.gone(ME)
    counter.commit()
    assert counter.machine.lookup(["a"])[0].state is State.QUEUED
    assert counter.under_way() == 0


def test_the_fate_of_an_enqueue_is_told_once_and_its_budget_is_given_back(
    counter: Counter,
) -> None:
    counter.enqueue("a", request=7)
    assert counter.under_way() > REQUEST_BYTES
    assert counter.intake.under_way == {}
    (wanted,) = counter.desk.wanted()
    counter.decide(wanted)
    assert counter.intake.under_way == {"default": 0}
    assert counter.under_way() == 0
    assert counter.sent() == [Enqueued(7)]
    assert counter.sent() == []
