"""Checkpoints: what an attempt leaves, the next one finds; nobody else changes it, and it goes."""

import pytest

from raftwork.broker.machine import queries
from raftwork.broker.machine.commands import Fail, Finish, Lose
from raftwork.features import checkpoints
from raftwork.features.checkpoints import (
    CHECKPOINT_BYTES_MAX,
    CheckpointAnswered,
    KeepCheckpoint,
    Note,
    Verdict,
)
from raftwork.features.effects import CheckpointDecided
from raftwork.messages import About, Loss, Outcome, Push, Spec
from tests.unit.broker.machine.driver import Driver, spec_of
from tests.unit.broker.queues import Queues
from tests.unit.broker.registry_harness import FAILURE, RegistryHarness

RETRIED = spec_of(retries=5)


@pytest.fixture
def driver() -> Driver:
    return Driver()


@pytest.fixture
def harness() -> RegistryHarness:
    harness = RegistryHarness()
    harness.hello()
    harness.sent()
    return harness


def about(driver: Driver, task: int = 1) -> About | None:
    (waiting,) = driver.machine.waiting_by([task])
    return driver.machine.about([waiting]).get(task)


def stored(driver: Driver) -> list[tuple[int, bytes]]:
    rows: list[tuple[int, bytes]] = list(driver.db.execute("SELECT * FROM checkpoint"))
    return rows


@pytest.mark.parametrize("end", [Fail(1, FAILURE, 0), Lose([(1, True)], Loss())])
def test_the_next_attempt_finds_what_the_last_one_left(driver: Driver, end: Fail | Lose) -> None:
    token = driver.start("a", spec=RETRIED)
    driver.effects(Note(token, 1, b"one"))
    assert driver.effects(Note(token, 2, b"two")) == [CheckpointDecided(token, 2, Verdict.KEPT)]
    driver.effects(end)
    assert about(driver) == About("", [], b"two")
    driver.reopen()
    assert about(driver) == About("", [], b"two")
    assert driver.machine.state.checkpoint_bytes == 3


def test_an_attempt_that_is_over_changes_nothing(driver: Driver) -> None:
    token = driver.start("a", spec=RETRIED)
    driver.effects(Note(token, 1, b"one"))
    driver.fail(token)
    (again,) = driver.assign(1)
    assert driver.effects(Note(token, 2, b"late")) == [CheckpointDecided(token, 2, Verdict.VOID)]
    driver.fail(again)
    assert about(driver) == About("", [], b"one")


@pytest.mark.parametrize("end", [Finish([(1, b"v")]), Fail(1, FAILURE, 0, True)])
def test_it_goes_with_the_outcome(driver: Driver, end: Finish | Fail) -> None:
    token = driver.start("a", spec=RETRIED)
    driver.effects(Note(token, 1, b"one"))
    driver.effects(end)
    assert stored(driver) == []
    assert driver.machine.state.checkpoint_bytes == 0


def test_each_and_all_together_are_bounded(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "CHECKPOINTS_BYTES_MAX", 10)
    token = driver.start("a", spec=RETRIED)
    large = Note(token, 1, b"x" * (CHECKPOINT_BYTES_MAX + 1))
    assert driver.effects(large) == [CheckpointDecided(token, 1, Verdict.SIZE)]
    driver.effects(Note(token, 2, b"12345678"))
    other = driver.start("b", spec=RETRIED)
    assert driver.effects(Note(other, 1, b"123")) == [CheckpointDecided(other, 1, Verdict.FULL)]
    assert driver.effects(Note(other, 2, b"12")) == [CheckpointDecided(other, 2, Verdict.KEPT)]
    assert driver.effects(Note(token, 3, b"1234567")) == [CheckpointDecided(token, 3, Verdict.KEPT)]


def keep(harness: RegistryHarness, token: int, number: int, value: bytes = b"v") -> None:
    asked = KeepCheckpoint(1, token, number, value)
    assert harness.registry.receive(b"w", asked, harness.now, harness.queues.time)


def commit(harness: RegistryHarness) -> list[Verdict]:
    """Apply what is proposed; the verdicts that are sent."""
    for effect in harness.queues.effects(*harness.registry.commands()):
        if isinstance(effect, CheckpointDecided):
            harness.registry.decided(effect)
    return [answer.verdict for answer in harness.frames(CheckpointAnswered)]


def test_a_checkpoint_is_answered_once_it_is_applied_and_again_when_it_is_asked_again(
    harness: RegistryHarness,
) -> None:
    (token,) = harness.give()
    keep(harness, token, 1)
    assert harness.frames(CheckpointAnswered) == []
    keep(harness, token, 1)
    assert harness.registry.commands() == [Note(token, 1, b"v")], "it is proposed once"
    keep(harness, token, 2)
    assert commit(harness) == [Verdict.KEPT]
    keep(harness, token, 2)
    assert commit(harness) == [Verdict.KEPT]


def test_a_new_leader_keeps_what_the_last_one_may_not_have(harness: RegistryHarness) -> None:
    (token,) = harness.give()
    keep(harness, token, 1)
    harness.new_leader()
    harness.hello()
    keep(harness, token, 1)
    assert harness.registry.commands() == [Note(token, 1, b"v")]


def test_what_is_not_the_workers_is_void(harness: RegistryHarness) -> None:
    keep(harness, 99, 1)
    assert commit(harness) == [Verdict.VOID]
    (token,) = harness.give()
    harness.report(Outcome(token, True, b""))
    keep(harness, token, 1)
    assert commit(harness) == [Verdict.VOID]


def test_below_level_two_and_too_large_it_is_refused_before_it_is_proposed() -> None:
    for level, value, verdict in ((1, b"v", Verdict.LEVEL), (2, b"x" * 70_000, Verdict.SIZE)):
        harness = RegistryHarness()
        harness.queues = Queues(level=level)
        harness.new_leader()
        harness.hello()
        (token,) = harness.give()
        keep(harness, token, 1, value)
        assert [a.verdict for a in harness.frames(CheckpointAnswered)] == [verdict]
        assert harness.registry.commands() == []


def test_it_travels_with_the_next_push_and_with_one_that_is_repeated(
    harness: RegistryHarness,
) -> None:
    (token,) = harness.give(spec=Spec("job", "default", retries=1, backoff=0))
    keep(harness, token, 1, b"left")
    commit(harness)
    harness.report(Outcome(token, False, FAILURE))
    harness.commit()
    harness.assign()
    for session in (2, 3):
        (push,) = harness.frames(Push)
        assert [task.about for task in push.tasks] == [About("", [], b"left")]
        harness.hello(session)


def test_of_an_ordinary_task_nothing_more_is_said(driver: Driver) -> None:
    driver.enqueue("a")
    assert about(driver) is None
    keyed = driver.waiting()[0]._replace(key="k")
    assert queries.about(driver.machine.state, [keyed]) == {keyed.seq: About("k")}
