"""Dead tasks, as a program asks for them and reads of them."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from raftwork import Status, messages
from raftwork.client.caller import Caller
from raftwork.client.dead_letters import DeadReport, DeadTask, DeadTasks, Loss
from raftwork.client.reply import Reply
from raftwork.features import dead_letters
from raftwork.features.dead_letters import (
    DEAD_IDS_MAX,
    DeadDetails,
    DeadPage,
    DeadPurged,
    DeadRetried,
    ListDead,
    PurgeDead,
    RetryDead,
    ShowDead,
)
from raftwork.messages import Failure, State, encode_failure
from raftwork.wire import INT_MAX, pack

ENDED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MS = int(ENDED.timestamp() * 1000)
TOLD = dead_letters.DeadTask(7, "x1", "mod.f", "q", State.LOST, MS, 3, 1, 2, "gone", "")
READ = DeadTask("x1", "mod.f", "q", Status.LOST, ENDED, 3, 1, 2, "gone", None, 7)
DETAILS = DeadDetails(
    0,
    TOLD,
    encode_failure(Failure("Lost", "gone", "trace")),
    pack([[1], {"a": 2}]),
    [messages.Loss("w", None, 11, 4096, MS)],
)


class FakeApp:
    """Answers every question as a broker would, and remembers it."""

    codec = None

    def __init__(self, details: DeadDetails = DETAILS) -> None:
        self.asked: list[Any] = []
        self.details = details

    def call(self, request: object, reply: type[object]) -> Reply[object]:
        self.asked.append(request)
        answer: Reply[object] = Reply()
        match request:
            case ListDead():
                again = TOLD._replace(state=State.FAILED, again="x2")
                answer.tell(DeadPage(0, [TOLD, again]))
            case ShowDead():
                answer.tell(self.details)
            case RetryDead(id=id_):
                answer.tell(DeadRetried(0, f"again-{id_}"))
            case PurgeDead():
                answer.tell(DeadPurged(0, 5))
        return answer

    def track(self, ids: list[str], _make: object) -> list[str]:
        return ids


def dead(queue: str | None = None, details: DeadDetails = DETAILS) -> tuple[DeadTasks, FakeApp]:
    app = FakeApp(details)
    return DeadTasks(cast("Caller", app), queue), app


def test_a_page_is_read_as_it_was_told() -> None:
    tasks, app = dead("q")
    expected = [
        READ,
        DeadTask("x1", "mod.f", "q", Status.FAILED, ENDED, 3, 1, 2, "gone", "x2", 7),
    ]

    assert tasks.list(2) == asyncio.run(tasks.alist(2)) == expected
    assert app.asked == [ListDead(0, "q", INT_MAX, 2)] * 2


def test_the_next_page_begins_where_the_last_one_ended() -> None:
    tasks, app = dead()
    tasks.list(before=7)

    assert app.asked == [ListDead(0, "", 7, 100)]


def test_a_report_tells_arguments_error_and_whom_the_task_took_down() -> None:
    tasks, app = dead()
    loss = Loss("w", ENDED, None, 11, 4096)
    expected = DeadReport(READ, "Lost", "gone", "trace", [1], {"a": 2}, [loss])

    assert tasks.show("x1") == asyncio.run(tasks.ashow("x1")) == expected
    assert app.asked == [ShowDead(0, "x1")] * 2


def test_a_payload_of_another_kind_of_client_leaves_the_report_readable() -> None:
    tasks, _ = dead(details=DETAILS._replace(payload=pack("not arguments")))

    assert (tasks.show("x1").args, tasks.show("x1").kwargs) == ([], {})


def test_each_retry_has_an_id_of_its_own_and_the_handles_come_in_order() -> None:
    tasks, app = dead()
    handles = cast("list[str]", tasks.retry("x", "y"))
    later = cast("list[str]", asyncio.run(tasks.aretry("x", "y")))

    assert handles == later == ["again-x", "again-y"]
    assert [asked.id for asked in app.asked] == ["x", "y"] * 2
    assert len({asked.new for asked in app.asked}) == 4


def test_purging_names_ids_or_the_whole_queue() -> None:
    tasks, app = dead("q")

    assert (tasks.purge("x"), asyncio.run(tasks.apurge())) == (5, 5)
    assert app.asked == [PurgeDead(0, ["x"], "q"), PurgeDead(0, [], "q")]


@pytest.mark.parametrize("limit", [0, 201, -1])
def test_a_page_has_bounds(limit: int) -> None:
    tasks, app = dead()
    with pytest.raises(ValueError, match="limit must be between 1 and 200"):
        tasks.list(limit)
    assert app.asked == []


def test_nothing_is_asked_if_one_of_the_ids_cannot_be_one() -> None:
    tasks, app = dead()
    for call in (tasks.retry, tasks.purge):
        with pytest.raises(ValueError, match="id"):
            call("x", "")
    with pytest.raises(ValueError, match="are allowed at a time"):
        tasks.purge(*["x"] * (DEAD_IDS_MAX + 1))
    assert app.asked == []
