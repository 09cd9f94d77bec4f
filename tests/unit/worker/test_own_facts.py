"""What a worker counts for whoever asks it over HTTP."""

import random

import pytest

from raftwork.messages import Loss, Outcome, Spec, encode_spec
from raftwork.worker import own_facts
from raftwork.worker.agent import Agent, Identity
from raftwork.worker.own_facts import OwnFacts, worker_facts
from raftwork.worker.pool.recycling import NEVER, Deaths, Recycling
from raftwork.worker.runner import Ended
from tests.unit.worker.idle_pool import IdlePool

MS = 1_000_000
IDENTITY = Identity("w", b"w" * 16, "h", 7, ("default",))


def ended(token: int, ms: float, *, ok: bool = True) -> Ended:
    return Ended(Outcome(token, ok, b"\x91\x00"), round(ms * MS))


def spec_of(names: dict[int, str]) -> dict[int, bytes]:
    return {token: encode_spec(Spec(name, "default")) for token, name in names.items()}


def agent() -> Agent:
    return Agent(IDENTITY, ["127.0.0.1:1"], 1, 0, random.Random(1))


def test_run_times_are_counted_by_the_name_of_the_task() -> None:
    counts = OwnFacts("w", 7, Deaths())
    specs = spec_of({1: "add", 2: "add", 3: "mail"})
    counts.ended([ended(1, 4), ended(2, 5.5), ended(3, 8_000_000), ended(9, 1)], specs.get)
    add, mail = counts.facts(agent(), IdlePool()).runs
    assert (add.task, add.counts[:3], add.sum_ns) == ("add", [1, 1, 0], round(9.5 * MS))
    assert (mail.task, mail.counts[-1], sum(mail.counts)) == ("mail", 1, 1)


def test_a_run_that_failed_says_nothing_of_how_long_the_task_takes() -> None:
    counts = OwnFacts("w", 7, Deaths())
    counts.ended([ended(1, 4, ok=False)], spec_of({1: "add"}).get)
    assert counts.facts(agent(), IdlePool()).runs == []


def test_more_names_than_are_told_apart_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_facts, "NAMES_MAX", 2)
    monkeypatch.setattr(own_facts, "_SPECS_MAX", 3)
    counts = OwnFacts("w", 7, Deaths())
    specs = spec_of({n: f"t{n}" for n in range(9)})
    for _ in range(2):
        counts.ended([ended(n, 1) for n in specs], specs.get)
    found = {each.task: sum(each.counts) for each in counts.facts(agent(), IdlePool()).runs}
    assert found == {"t0": 2, "t1": 2, "other": 14}


def test_a_worker_without_a_leader_says_so() -> None:
    facts = OwnFacts("w", 7, Deaths()).facts(agent(), IdlePool())
    assert (facts.leader, facts.slots, facts.busy, facts.held) == ("", 1, 0, 0)
    assert worker_facts.decode(worker_facts.encode(facts)) == facts


@pytest.mark.parametrize(
    ("loss", "charged", "stopped", "lost", "recycled"),
    [
        (Loss(signal=9), True, False, {"SIGKILL": 1}, {}),
        (Loss(signal=9), True, True, {}, {"stopped": 1}),
        (Loss(signal=11), False, False, {"SIGSEGV": 1}, {}),
        (Loss(signal=63), False, False, {"63": 1}, {}),
        (Loss(exit=0), True, False, {"exit": 1}, {}),
        (Loss(exit=3), False, False, {"exit": 1}, {}),
        (Loss(exit=0, memory=5), False, False, {}, {"tasks": 1}),
        (Loss(exit=0, memory=500), False, False, {}, {"memory": 1}),
    ],
)
def test_an_end_on_purpose_is_no_loss(
    loss: Loss, charged: bool, stopped: bool, lost: dict[str, int], recycled: dict[str, int]
) -> None:
    deaths = Deaths()
    deaths.count(loss, Recycling(10, 100), charged=charged, stopped=stopped)
    assert (deaths.lost, deaths.recycled) == (lost, recycled)


def test_where_nothing_is_recycled_every_end_is_a_loss() -> None:
    deaths = Deaths()
    deaths.count(Loss(exit=0), NEVER, charged=False, stopped=False)
    assert deaths.lost == {"exit": 1}
