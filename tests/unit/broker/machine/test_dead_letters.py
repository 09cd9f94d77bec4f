"""The dead: what is kept of tasks without a value, for how long, and how one is run again."""

import pytest

from raftwork.broker.machine import ClusterSettings
from raftwork.broker.machine.commands import Lose
from raftwork.features.dead_letters import DeadTask, Purge, Retry, details, page, retried_as
from raftwork.features.effects import Done, Queued
from raftwork.messages import Code, Loss, State
from tests.unit.broker.machine.driver import FAILURE, START, Driver, spec_of

ALL = 1 << 62


def dead(driver: Driver, queue: str = "", before: int = ALL, limit: int = 100) -> list[DeadTask]:
    return page(driver.machine.state, queue, before, limit)


def dead_ids(driver: Driver) -> list[str]:
    return [task.id for task in dead(driver)]


def die(driver: Driver, *ids: str, spec: bytes = spec_of()) -> None:
    for task in ids:
        driver.fail(driver.start(task, spec=spec))


def test_a_task_that_failed_for_good_or_was_lost_is_dead_and_no_other(driver: Driver) -> None:
    driver.finish(driver.start("fine"))
    driver.fail(driver.start("again", spec=spec_of(retries=1)), driver.now + 50)
    die(driver, "failed")
    driver.lose(driver.start("lost", spec=spec_of(max_losses=1)))
    assert dead(driver) == [
        DeadTask(
            2,
            "lost",
            "module.task",
            "default",
            State.LOST,
            START,
            1,
            0,
            1,
            "WorkerLost: lost 1 times while it ran, the last time: its worker vanished",
            "",
        ),
        DeadTask(
            1,
            "failed",
            "module.task",
            "default",
            State.FAILED,
            START,
            1,
            1,
            0,
            "ValueError: no",
            "",
        ),
    ]


def test_it_is_told_which_workers_a_task_took_down_and_how(driver: Driver) -> None:
    first = Loss("w1", exit=3, memory=5_000_000)
    second = Loss("w2", signal=9, memory=70_000_000)
    token = driver.start("a")
    for loss in (first, second):
        driver.effects(Lose([(token, True)], loss))
        driver.now += 1_000
        (token,) = driver.assign(1)
    driver.fail(token)
    known = details(driver.machine.state, 7, "a")
    assert known is not None
    assert (known.request, known.payload, known.failure) == (7, b"payload", FAILURE)
    assert known.losses == [
        first._replace(time=START),
        second._replace(time=START + 1_000),
    ]
    assert details(driver.machine.state, 7, "b") is None


def test_what_a_task_lost_is_forgotten_when_it_succeeds(driver: Driver) -> None:
    driver.lose(driver.start("a"))
    (token,) = driver.assign(1)
    driver.finish(token)
    assert list(driver.db.execute("SELECT * FROM loss")) == []


def test_pages_go_from_the_newest_to_the_oldest_of_a_queue(driver: Driver) -> None:
    for n in range(4):
        die(driver, f"a{n}", spec=spec_of("a"))
        die(driver, f"b{n}", spec=spec_of("b"))
    first = dead(driver, "b", limit=3)
    assert [task.id for task in first] == ["b3", "b2", "b1"]
    assert [task.id for task in dead(driver, "b", before=first[-1].number)] == ["b0"]
    assert dead(driver, "nobody's") == []


def test_they_are_counted_by_their_queues_as_they_come_and_go() -> None:
    driver = Driver(ClusterSettings(dead=4))

    def counted() -> dict[str, int]:
        before = +driver.machine.state.dead_in
        driver.reopen()
        state = driver.machine.state
        assert +state.dead_in == before, "a start counts the same"
        return {state.numbered[number].name: n for number, n in (+state.dead_in).items()}

    for n in range(3):
        die(driver, f"a{n}", spec=spec_of("a"))
        die(driver, f"b{n}", spec=spec_of("b"))
    assert counted() == {"a": 2, "b": 2}, "the oldest of each made room"
    driver.apply(Purge([], "a"))
    assert counted() == {"b": 2}


def test_a_retry_is_another_task_with_the_same_contents(driver: Driver) -> None:
    spec = spec_of(retries=0, max_losses=1)
    driver.enqueue("a", spec=spec, payload=b"arguments")
    outcome = driver.result("a") if driver.fail(*driver.assign(1)) else None
    assert driver.effects(Retry(driver.now, "a", "b")) == [
        Queued("default", spec, 2, [("b", b"arguments")])
    ]
    (waiting,) = driver.waiting()
    assert (waiting.id, waiting.attempt, waiting.losses) == ("b", 1, 0)
    assert driver.result("a") == outcome  # the first outcome stands for ever
    assert retried_as(driver.machine.state, "a") == "b"


def test_to_ask_twice_is_to_retry_once(driver: Driver) -> None:
    die(driver, "a")
    driver.effects(Retry(driver.now, "a", "b"))
    assert driver.effects(Retry(driver.now, "a", "c")) == []
    assert retried_as(driver.machine.state, "a") == "b"
    assert driver.waiting_ids() == ["b"]


def test_only_the_dead_are_retried(driver: Driver) -> None:
    driver.finish(driver.start("fine"))
    driver.enqueue("waits")
    for task in ("fine", "waits", "nobody's"):
        assert driver.refusal(Retry(driver.now, task, "b")).code is Code.UNKNOWN_TASK


def test_a_retry_that_has_no_room_changes_nothing() -> None:
    driver = Driver(ClusterSettings(tasks=1))
    die(driver, "a")
    driver.enqueue("waits")
    assert driver.refusal(Retry(driver.now, "a", "b")).code is Code.QUEUE_FULL
    assert retried_as(driver.machine.state, "a") == ""


@pytest.mark.parametrize(
    ("purge", "left"),
    [
        (Purge(["a", "nobody's"], ""), ["c", "b"]),
        (Purge([], "x"), ["b", "a"]),
        (Purge([], "nobody's"), ["c", "b", "a"]),
        (Purge([], ""), []),
    ],
)
def test_what_is_purged_is_gone_and_its_outcome_stays(
    driver: Driver, purge: Purge, left: list[str]
) -> None:
    die(driver, "a", "b")
    die(driver, "c", spec=spec_of("x"))
    assert driver.apply(purge).replies == [Done(3 - len(left))]
    assert dead_ids(driver) == left
    assert [driver.state(task) for task in ("a", "b", "c")] == [State.FAILED] * 3


def test_the_dead_are_kept_as_long_as_their_results(driver: Driver) -> None:
    die(driver, "a", spec=spec_of(result_ttl=1_000))
    driver.lose(driver.start("lost", spec=spec_of(result_ttl=2_000, max_losses=1)))
    driver.tick(1_000)
    assert dead_ids(driver) == ["lost"]
    driver.tick(1_000)
    assert dead_ids(driver) == []
    assert list(driver.db.execute("SELECT * FROM loss")) == []


@pytest.mark.parametrize(
    "limits",
    [ClusterSettings(dead=2), ClusterSettings(dead_bytes=2 * (len(spec_of()) + len(b"payload")))],
)
def test_the_oldest_make_room(limits: ClusterSettings) -> None:
    driver = Driver(limits)
    die(driver, "a", "b", "c")
    assert dead_ids(driver) == ["c", "b"]
    driver.reopen()
    die(driver, "d")
    assert dead_ids(driver) == ["d", "c"]
    assert driver.state("a") is State.FAILED
