"""Requests about dead tasks: told behind a barrier, carried out once, bounded."""

import apsw
import pytest

from raftwork.broker.machine.commands import Assign, Fail
from raftwork.broker.requests.request_processor import TURN_WORK
from raftwork.features.dead_letters import (
    DEAD_PAGE_MAX,
    PAGE_WORK,
    DeadDetails,
    DeadPage,
    DeadPurged,
    DeadRetried,
    ListDead,
    Purge,
    PurgeDead,
    Retry,
    RetryDead,
    ShowDead,
    feature,
    page,
)
from raftwork.messages import (
    PAYLOAD_MAX,
    Code,
    Failure,
    FromBroker,
    Refused,
    State,
    encode_failure,
    failure_head,
)
from raftwork.messages.registry import Frame
from raftwork.wire import pack
from tests.unit.broker.queues import SPEC, enqueue
from tests.unit.broker.request_harness import RequestHarness

FEATURE = feature()

TURN_READS = TURN_WORK // PAGE_WORK
ALL = 1 << 62


class DeadLettersHarness(RequestHarness):
    """A leader's request processor over a machine in which the task "a" is dead."""

    def __init__(self) -> None:
        super().__init__()
        failure = encode_failure(Failure("E", "m", "t"))
        self.queues.apply(enqueue("a"), Assign(b"w" * 16, [1]), Fail(1, failure, 0))
        self.view.time = 2_000

    def pass_barrier(self) -> list[FromBroker]:
        self.barrier()
        return self.sent()

    def committed(self) -> list[FromBroker]:
        self.commit()
        return self.sent()


def test_who_is_dead_is_told_behind_a_barrier() -> None:
    processor = DeadLettersHarness()
    assert processor.ask(ListDead(1, "", ALL, 10)) == processor.ask(ShowDead(2, "a")) == []
    assert processor.processor.read_barrier.asking
    listed, details = processor.pass_barrier()
    assert isinstance(listed, DeadPage) and [task.id for task in listed.tasks] == ["a"]
    assert isinstance(details, DeadDetails) and details.task == listed.tasks[0]


def test_pages_are_read_a_few_a_turn_and_all_in_the_end() -> None:
    processor = DeadLettersHarness()
    for request in range(3 * TURN_READS):
        assert processor.ask(ListDead(request, "", ALL, 10)) == []
    answers = processor.pass_barrier()
    assert len(answers) == TURN_READS
    while len(answers) < 3 * TURN_READS:
        assert processor.processor.waiting
        more = processor.sent()
        assert 0 < len(more) <= TURN_READS
        answers += more
    assert [a.request for a in answers if isinstance(a, DeadPage)] == [*range(3 * TURN_READS)]


def test_who_is_not_dead_is_unknown() -> None:
    processor = DeadLettersHarness()
    processor.ask(ShowDead(1, "b"))
    (refused,) = processor.pass_barrier()
    assert isinstance(refused, Refused) and refused.code is Code.UNKNOWN_TASK
    processor.ask(RetryDead(2, "b", "c"))
    (refused,) = processor.committed()
    assert isinstance(refused, Refused) and refused.code is Code.UNKNOWN_TASK


def test_a_retry_is_acknowledged_when_it_is_applied_and_only_once_proposed() -> None:
    processor = DeadLettersHarness()
    assert processor.ask(RetryDead(1, "a", "b")) == processor.ask(RetryDead(1, "a", "b")) == []
    assert processor.committed() == [DeadRetried(1, "b")]
    assert processor.ask(RetryDead(2, "a", "c")) == []
    assert processor.committed() == [DeadRetried(2, "b")]


def test_a_retry_is_tried_first_when_it_is_proposed() -> None:
    processor = DeadLettersHarness()
    processor.ask(RetryDead(1, "a", "b"))
    assert processor.wanted() == [Retry(2_000, "a", "b")]


def test_one_whose_spec_nobody_knows_is_refused_and_stops_no_replica() -> None:
    """As 0.1.0 stored it, which took more fields than it knew."""
    processor = DeadLettersHarness()
    spec = pack([1, *SPEC, "more"])
    processor.queues.db.execute("UPDATE dead SET spec = ?", (spec,))
    assert processor.ask(RetryDead(1, "a", "b")) == []
    (refused,) = processor.committed()
    assert isinstance(refused, Refused) and refused.code is Code.UNSUPPORTED
    assert processor.machine.states(["a", "b"]) == [State.FAILED, State.UNKNOWN]
    assert isinstance(processor.told(ShowDead(2, "a"))[0], DeadDetails)


def test_a_purge_tells_how_many_it_found() -> None:
    processor = DeadLettersHarness()
    processor.ask(PurgeDead(1, ["a", "b"], ""))
    (wanted,) = processor.processor.wanted()
    assert wanted.command(processor.view) == Purge(["a", "b"], "")
    processor.decide(wanted)
    assert processor.sent() == [DeadPurged(1, 1)]


@pytest.mark.parametrize(
    "request_",
    [
        ListDead(1, "", ALL, 0),
        ListDead(1, "", ALL, DEAD_PAGE_MAX + 1),
        ShowDead(1, ""),
        RetryDead(1, "a", "b" * 256),
        PurgeDead(1, ["a"] * 10_001, ""),
    ],
)
def test_what_is_out_of_bounds_is_refused(request_: Frame) -> None:
    (refused,) = DeadLettersHarness().ask(request_)
    assert isinstance(refused, Refused) and refused.code is Code.PROTOCOL


def test_requests_under_way_are_bounded() -> None:
    processor = DeadLettersHarness()
    for number in range(FEATURE.budget.requests):
        assert processor.ask(ListDead(number, "", ALL, 1)) == []
    (refused,) = processor.ask(RetryDead(FEATURE.budget.requests, "a", "b"))
    assert isinstance(refused, Refused) and refused.code is Code.QUEUE_FULL


@pytest.mark.parametrize("size", [0, 20, 200, 5_000, 70_000, PAYLOAD_MAX // 2])
@pytest.mark.parametrize("kind", ["E", "x" * 3_000])
def test_a_page_reads_the_beginning_of_each_failure_and_no_more(size: int, kind: str) -> None:
    packed = encode_failure(Failure(kind, "é" * size, "t" * size))
    whole = f"{kind}: {'é' * size}"[:200]
    assert failure_head(packed, 200) == failure_head(packed[:2_048], 200) == whole


def test_a_page_of_large_failures_is_small_to_read() -> None:
    processor = DeadLettersHarness()
    failure = encode_failure(Failure("E", "m" * 900_000, ""))
    processor.queues.apply(enqueue("b"), Assign(b"w" * 16, [2]), Fail(2, failure, 0))
    read: list[int] = []
    db = processor.queues.db

    def notice(_cursor: apsw.Cursor, row: tuple[object, ...]) -> tuple[object, ...]:
        read.extend(len(value) for value in row if isinstance(value, bytes))
        return row

    db.row_trace = notice
    tasks = page(processor.view.state, "", ALL, 10)
    assert [task.error[:10] for task in tasks] == ["E: mmmmmmm", "E: m"]
    assert read and max(read) < 10_000
