"""Limits in the machine: all gates of a task or none, each left once, rates by machine time."""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from raftwork.broker.machine.commands import (
    Assign,
    Command,
    Expire,
    Fail,
    Finish,
    HoldBack,
    Lose,
    Release,
    Tick,
    encode_batch,
)
from raftwork.broker.machine.gates import Gate
from raftwork.features import limits
from raftwork.features.effects import (
    Applied,
    Assigned,
    Done,
    GatesFreed,
    LimitChanged,
    NotAssigned,
    Rejected,
    Requeued,
)
from raftwork.features.enqueue import Admit
from raftwork.features.limit_settings import ENDLESS, changes
from raftwork.features.limits import ConfigureLimit, DropLimit, PauseGates
from raftwork.features.queue_settings import Configure
from raftwork.features.queue_settings import changes as queue_changes
from raftwork.messages import Extras, Spec, State, encode_spec
from raftwork.wire import pack
from tests.unit.broker.machine.driver import FAILURE, WORKER, Driver


def limit(name: str, **values: object) -> ConfigureLimit:
    return ConfigureLimit(name, changes(**values))


def put(
    *ids: str,
    limits: tuple[str, ...] = ("stripe",),
    tenant: str = "",
    key: str = "",
    name: str = "job",
    created: int = 1_000_000,
    retries: int = 3,
    queue: str = "default",
) -> Admit:
    spec = encode_spec(Spec(name, queue, retries=retries, limits=limits))
    return Admit(created, spec, pack([[id_, b"x", key, Extras(tenant=tenant)] for id_ in ids]))


class Limited(Driver):
    """Tasks are called by their numbers: 1 is the first."""

    def do(self, *commands: Command) -> Applied:
        applied = self.apply(*commands)
        assert not [reply for reply in applied.replies if isinstance(reply, Rejected)], applied
        return applied

    def try_all(self, *seqs: int) -> dict[int, int]:
        """The tokens of those that may run now, by task."""
        applied = self.do(Assign(WORKER, list(seqs)))
        found = [e for e in applied.effects if isinstance(e, Assigned)]
        return {seq: token for each in found for token, seq, _ in each.tasks}

    def later(self, ms: int) -> None:
        self.now += ms

    def rows(self) -> list[tuple[object, ...]]:
        gates = self.machine.gates._gates
        return sorted((*name, gate.held) for name, gate in gates.items() if _in_use(gate))


def _in_use(gate: Gate) -> bool:
    return gate.held > 0 or not gate.blank


@pytest.fixture
def driver() -> Limited:
    return Limited()


# ---- concurrency --------------------------------------------------------------------------------


def test_gates_that_nothing_holds_are_forgotten_where_there_are_many(
    driver: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raftwork.broker.machine.gates._KEPT_MAX", 3)
    driver.do(limit("stripe", concurrency=1), put("a", key="a"))
    for number in range(10):
        driver.machine.gates.find(("stripe", f"{number}"))
        driver.do(Tick())

    assert len(driver.machine.gates._gates) <= 3


def test_so_many_run_at_once_and_no_more(driver: Limited) -> None:
    driver.do(limit("stripe", concurrency=2), put("a", "b", "c"))
    tokens = driver.try_all(1, 2, 3)
    assert list(tokens) == [1, 2]
    assert driver.rows() == [("stripe", "", 2)]
    driver.finish(tokens[1])
    assert list(driver.try_all(3)) == [3]


def test_what_may_not_run_yet_waits_on_in_its_lane(driver: Limited) -> None:
    driver.do(limit("stripe", concurrency=1), put("a", "b"))
    driver.try_all(1)
    applied = driver.do(Assign(WORKER, [2]))
    assert applied.effects == [NotAssigned([2]), Requeued("default", 2, 1, 2)]
    assert driver.state("b") is State.QUEUED


@pytest.mark.parametrize(
    "end",
    [
        lambda token: Finish([(token, b"")]),
        lambda token: Fail(token, FAILURE, 0),
        lambda token: Fail(token, FAILURE, 10**12),
        lambda token: Fail(token, FAILURE, 0, final=True),
        lambda token: Expire(token, 0),
        lambda token: Release([token]),
        lambda token: Lose([(token, True)]),
        lambda token: Lose([(token, False)]),
    ],
    ids=[*("finish", "retry", "later", "final", "expire", "release", "lose", "lose unstarted")],
)
def test_however_an_attempt_ends_its_gates_are_left_in_the_same_entry(
    driver: Limited, end: Callable[[int], Command]
) -> None:
    driver.do(limit("a", concurrency=1), limit("b", concurrency=1), put("x", limits=("b", "a")))
    (token,) = driver.try_all(1).values()
    assert driver.rows() == [("a", "", 1), ("b", "", 1)]
    applied = driver.do(end(token))
    assert driver.rows() == []
    assert applied.effects[-1] == GatesFreed([("a", ""), ("b", "")])
    again = driver.apply(end(token))  # the token is not current: nothing is left twice
    assert driver.rows() == []
    assert not [each for each in again.effects if isinstance(each, GatesFreed)]


def test_all_gates_or_none(driver: Limited) -> None:
    driver.do(limit("a", concurrency=9), limit("b", concurrency=1))
    driver.do(put("x", limits=("b",)), put("y", limits=("a", "b")), put("z", limits=("a",)))
    tokens = driver.try_all(1, 2, 3)
    assert list(tokens) == [1, 3]
    assert driver.rows() == [("a", "", 1), ("b", "", 1)]


def test_a_limit_counts_apart_by_tenant_or_key(driver: Limited) -> None:
    driver.do(limit("t", concurrency=1, per="tenant"), limit("k", concurrency=1, per="key"))
    driver.do(put("a", "b", limits=("t",), tenant="acme"), put("c", limits=("t",), tenant="beta"))
    driver.do(put("d", "e", limits=("k",), key="7"), put("f", limits=("k",), key="8"))
    assert list(driver.try_all(1, 2, 3, 4, 5, 6)) == [1, 3, 4, 6]
    assert driver.rows() == [("k", "7", 1), ("k", "8", 1), ("t", "acme", 1), ("t", "beta", 1)]


def test_a_limit_of_a_task_by_its_name(driver: Limited) -> None:
    driver.do(limit("task:job", concurrency=1), put("a", "b", limits=()))
    driver.do(put("other", limits=(), name="other"))
    assert list(driver.try_all(1, 2, 3)) == [1, 3]


def test_lowering_a_limit_takes_nothing_back(driver: Limited) -> None:
    driver.do(limit("stripe", concurrency=3), put(*"abcde"))
    tokens = driver.try_all(1, 2, 3)
    driver.do(limit("stripe", concurrency=1))
    driver.finish(tokens[1])
    driver.finish(tokens[2])
    assert not driver.try_all(4)
    driver.finish(tokens[3])
    assert list(driver.try_all(4, 5)) == [4]


def test_a_limit_that_is_deleted_and_set_anew_counts_what_runs(driver: Limited) -> None:
    driver.do(limit("stripe", concurrency=1), put("a", "b", "c"))
    driver.try_all(1)
    applied = driver.do(DropLimit("stripe"))
    assert applied.replies == [Done(1)]
    assert applied.effects == [LimitChanged("stripe")]
    assert list(driver.try_all(2)) == [2]
    driver.do(limit("stripe", concurrency=2))
    assert not driver.try_all(3)
    assert driver.do(DropLimit("other")).replies == [Done(0)]


def test_a_restart_finds_what_counts(driver: Limited) -> None:
    driver.do(limit("stripe", concurrency=1, per="key"), put("a", "b", key="1"))
    (token,) = driver.try_all(1).values()
    driver.reopen()
    assert not driver.try_all(2)
    assert driver.machine.gates.use_of("stripe") == (1, 1)
    driver.finish(token)
    assert driver.machine.gates.use_of("stripe") == (0, 0)
    assert list(driver.try_all(2)) == [2]


def test_a_pause_ends_by_itself_or_by_a_resume(driver: Limited) -> None:
    driver.do(limit("stripe", concurrency=5), put(*"abc"))
    driver.do(PauseGates("stripe", driver.now + 1_000))
    assert not driver.try_all(1)
    driver.later(999)
    assert not driver.try_all(1)
    driver.later(1)
    assert driver.try_all(1)
    driver.do(PauseGates("stripe", ENDLESS))
    driver.later(10**9)
    assert not driver.try_all(2)
    driver.do(PauseGates("stripe", 0))
    assert driver.try_all(2)


# ---- what code asks for ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word",
    [PauseGates("b", 0), limit("b", concurrency=4), limit("b")],
    ids=["resumed", "set", "set as it was"],
)
def test_what_code_has_shut_is_opened_by_a_word_on_the_limit(
    driver: Limited, word: Command
) -> None:
    driver.do(limit("a", concurrency=5), limit("b", concurrency=5))
    driver.do(put("x", limits=("a", "b")), put("y", "z", limits=("b",)))
    (token,) = driver.try_all(1).values()
    driver.do(held_back(driver, token))
    driver.do(word)
    driver.reopen()
    assert list(driver.try_all(1, 2)) == [2]  # "a" is shut still
    (token,) = [run.token for run in driver.machine.running()]
    driver.do(held_back(driver, token))  # it may shut it again
    assert not driver.try_all(3)


def test_a_pause_opens_nothing_that_code_has_shut(driver: Limited) -> None:
    driver.do(limit("a", concurrency=5), put("x", "y", limits=("a",)))
    (token,) = driver.try_all(1).values()
    driver.do(held_back(driver, token))
    driver.do(PauseGates("a", driver.now + 1_000))
    driver.later(1_000)
    assert not driver.try_all(2)


def held_back(driver: Limited, token: int, limit: str = "") -> HoldBack:
    return HoldBack(token, driver.now + 5_000, limit, FAILURE)


def test_code_shuts_its_gates_for_a_time_and_waits_there(driver: Limited) -> None:
    driver.do(limit("a", concurrency=5), limit("b", concurrency=5))
    driver.do(put("x", limits=("a", "b")), put("y", limits=("a",)), put("z", limits=("b",)))
    (token,) = driver.try_all(1).values()
    driver.do(held_back(driver, token, "b"))
    assert list(driver.try_all(1, 2, 3)) == [2]
    driver.later(4_999)
    assert not driver.try_all(1, 3)
    driver.later(1)
    assert list(driver.try_all(1, 3)) == [1, 3]
    (run,) = [run for run in driver.machine.running() if run.id == "x"]
    assert (run.attempt, run.failures, run.losses) == (2, 0, 0)


def test_without_a_limit_it_waits_itself_and_once_is_once(driver: Limited) -> None:
    driver.do(put("x", limits=()), put("y", limits=()))
    (token,) = driver.try_all(1).values()
    driver.do(held_back(driver, token))
    assert list(driver.try_all(1, 2)) == [2]
    driver.later(5_000)
    assert list(driver.try_all(1)) == [1]
    once = encode_spec(Spec("job", "default", at_most_once=True))
    driver.do(driver.put("once", spec=once))
    (token,) = driver.try_all(3).values()
    driver.do(held_back(driver, token))
    assert driver.state("once") is State.FAILED


# ---- rates --------------------------------------------------------------------------------------


def test_a_rate_spaces_hand_outs(driver: Limited) -> None:
    driver.do(limit("stripe", rate="10/s"), put(*"abc"))
    assert list(driver.try_all(1, 2)) == [1]
    driver.later(99)
    assert not driver.try_all(2)
    driver.later(1)
    assert list(driver.try_all(2, 3)) == [2]


def test_a_burst_comes_at_once_after_a_pause(driver: Limited) -> None:
    driver.do(limit("stripe", rate="1/s", burst=3), put(*"abcdefgh"))
    assert list(driver.try_all(*range(1, 9))) == [1, 2, 3]
    driver.later(1_000)
    assert list(driver.try_all(*range(4, 9))) == [4]
    driver.later(60_000)
    assert list(driver.try_all(*range(5, 9))) == [5, 6, 7]


def test_a_rate_that_no_whole_us_divides_is_rounded_down(driver: Limited) -> None:
    driver.do(limit("stripe", rate="7/s", burst=7), put(*(str(i) for i in range(30))))
    assert len(driver.try_all(*range(1, 31))) == 7
    driver.later(1_000)
    assert len(driver.try_all(*range(8, 31))) == 6  # the seventh comes 1 us later


def test_each_retry_pays(driver: Limited) -> None:
    driver.do(limit("stripe", rate="1/s"), put("a", "b"))
    (token,) = driver.try_all(1).values()
    driver.fail(token)
    assert not driver.try_all(1)
    driver.later(1_000)
    assert list(driver.try_all(1, 2)) == [1]


@pytest.mark.parametrize(
    "how", [lambda t: Release([t]), lambda t: Lose([(t, False)])], ids=["released", "lost"]
)
def test_what_comes_back_unstarted_has_not_paid(
    driver: Limited, how: Callable[[int], Command]
) -> None:
    driver.do(limit("stripe", rate="1/m"), put("a", "b"))
    (token,) = driver.try_all(1).values()
    driver.later(100)
    driver.do(how(token))
    assert list(driver.try_all(1, 2)) == [1]


def test_time_does_not_repay_what_is_given_back_too(driver: Limited) -> None:
    """After "b" the bucket is empty, whatever becomes of "a"."""
    driver.do(limit("stripe", rate="1/s"), put(*"abc"))
    tokens = driver.try_all(1)
    driver.later(5_000)
    driver.try_all(2)
    driver.release(tokens[1])
    assert not driver.try_all(3)


def test_what_is_given_back_is_what_was_paid_whatever_the_rate_is_by_now(driver: Limited) -> None:
    driver.do(limit("stripe", rate="1/s"), put(*"abc"))
    tokens = driver.try_all(1)
    driver.do(limit("stripe", rate="1/h"))
    driver.release(tokens[1])
    assert list(driver.try_all(2, 3)) == [2]


@pytest.mark.parametrize("per", [{}, {"per": "key"}], ids=["together", "apart"])
def test_a_rate_that_is_raised_forgives_what_the_new_one_would(
    driver: Limited, per: dict[str, object]
) -> None:
    driver.do(limit("stripe", rate="1/d", burst=2, **per), put(*"abcdef"))
    assert list(driver.try_all(1, 2, 3)) == [1, 2]
    driver.later(1)  # two words at once are a millisecond apart
    driver.do(limit("stripe", rate="1/s"))
    driver.reopen()
    assert not driver.try_all(3)
    driver.later(1_000)
    assert list(driver.try_all(3, 4)) == [3]
    driver.later(2_000)
    assert list(driver.try_all(4, 5, 6)) == [4, 5]


def test_what_comes_back_after_a_rate_was_raised_owes_nothing_of_the_old_one(
    driver: Limited,
) -> None:
    driver.do(limit("stripe", rate="1/d", burst=2), put(*"abcde"))
    tokens = driver.try_all(1, 2)
    driver.later(1)  # two words at once are a millisecond apart
    driver.do(limit("stripe", rate="1/s"))
    driver.release(tokens[2])
    driver.later(1_000)
    assert list(driver.try_all(2, 3)) == [2]


def test_a_rate_that_was_raised_is_kept_from_then_on(driver: Limited) -> None:
    """What is charged, or given back, under the new one is not forgiven again."""
    driver.do(limit("stripe", rate="1/d"), put(*"abcdefgh"))
    driver.try_all(1)
    driver.do(limit("stripe", rate="1/s", burst=3))
    driver.later(60_000)
    tokens = driver.try_all(2, 3, 4, 5)
    assert list(tokens) == [2, 3, 4]
    driver.release(tokens[4])
    assert list(driver.try_all(4, 5)) == [4]


def test_what_comes_back_to_a_queue_whose_rate_was_raised_owes_nothing_of_the_old_one(
    driver: Limited,
) -> None:
    driver.do(Configure("default", queue_changes(rate="1/d", burst=2)))
    driver.enqueue("a", "b", "c")
    tokens = driver.try_all(1, 2)
    driver.do(Configure("default", queue_changes(rate="1/s")))
    driver.release(tokens[2])
    driver.later(1_000)
    assert list(driver.try_all(2, 3)) == [2]


def test_a_queue_whose_rate_is_raised_is_forgiven_too(driver: Limited) -> None:
    driver.do(Configure("default", queue_changes(rate="1/d")))
    driver.enqueue("a", "b", "c")
    assert list(driver.try_all(1, 2)) == [1]
    driver.do(Configure("default", queue_changes(rate="1/s")))
    assert not driver.try_all(2)
    driver.later(1_000)
    assert list(driver.try_all(2, 3)) == [2]


def test_an_idle_gate_has_no_row_and_no_timer(driver: Limited) -> None:
    driver.do(limit("stripe", rate="1/s", concurrency=1), put("a", "b"))
    tokens = driver.try_all(1)
    driver.finish(tokens[1])
    assert driver.rows() == [("stripe", "", 0)]  # until the next may come
    assert driver.machine.due == driver.now + 1_000
    driver.later(500)
    driver.do(Tick())
    assert driver.machine.gates.rows == 1
    driver.later(500)
    driver.do(Tick())
    assert driver.rows() == []
    assert driver.machine.gates.rows == 0
    assert list(driver.db.execute("SELECT * FROM gate")) == []
    assert list(driver.db.execute("SELECT * FROM timer")) == []


# ---- queues -------------------------------------------------------------------------------------


def test_a_queue_has_limits_too_for_all_its_tasks(driver: Limited) -> None:
    driver.do(Configure("default", queue_changes(concurrency=2)))
    driver.enqueue("a", "b", "c")
    tokens = driver.try_all(1, 2, 3)
    assert list(tokens) == [1, 2]
    driver.finish(tokens[1])
    assert list(driver.try_all(3)) == [3]
    assert driver.rows() == []


def test_a_queue_limit_counts_what_ran_before_it_was_set(driver: Limited) -> None:
    driver.enqueue("a", "b", "c")
    driver.try_all(1, 2)
    driver.do(Configure("default", queue_changes(concurrency=2)))
    assert not driver.try_all(3)


def test_a_rate_of_a_queue(driver: Limited) -> None:
    driver.do(Configure("default", queue_changes(rate="1/s", burst=2)))
    driver.enqueue(*"abcd")
    tokens = driver.try_all(1, 2, 3)
    assert list(tokens) == [1, 2]
    driver.release(tokens[2])
    assert list(driver.try_all(3, 4)) == [3]
    driver.later(10_000)
    driver.do(Tick())
    assert driver.rows() == []


def test_new_tasks_of_such_a_queue_are_not_begun_by_their_enqueue(driver: Limited) -> None:
    driver.do(Configure("default", queue_changes(concurrency=1)))
    driver.enqueue("a")
    driver.try_all(1)
    driver.do(driver.put("b")._replace(begin=[(WORKER, 1)]))
    assert driver.state("b") is State.QUEUED


# ---- what is refused ----------------------------------------------------------------------------


def test_an_unknown_limit_is_refused_by_name(driver: Limited) -> None:
    assert (
        "no limit 'strpe'; there is none: set it first"
        in driver.refusal(put("a", limits=("strpe",))).text
    )
    driver.do(limit("stripe", concurrency=1))
    assert "there are stripe" in driver.refusal(put("a", limits=("strpe",))).text


def test_what_is_in_already_is_acknowledged_when_its_limit_is_gone(driver: Limited) -> None:
    driver.do(limit("stripe", concurrency=1), put("a"), DropLimit("stripe"), put("a"))


def test_too_many_limits_of_a_task_and_of_the_cluster(
    driver: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = tuple(f"l{i}" for i in range(9))
    driver.do(*(limit(name, concurrency=1) for name in names))
    text = driver.refusal(put("a", limits=names)).text
    assert text == "a task may count for 8 limits, this one names 9"
    monkeypatch.setattr(limits, "LIMITS_MAX", 9)
    text = driver.refusal(limit("more", concurrency=1)).text
    assert text.startswith("no room: this would make 10 limits, 9 are allowed")
    driver.do(limit("l1", concurrency=2))


def test_too_many_gates_in_use(driver: Limited, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that tasks hold are as many as tasks run: what counts is what time has to open."""
    monkeypatch.setattr(limits, "GATES_MAX", 1)
    driver.do(limit("stripe", rate="1/s", per="key"), put("a", key="1"))
    (token,) = driver.try_all(1).values()
    driver.finish(token)
    text = driver.refusal(put("b", key="2")).text
    assert text.startswith("no room: 1 tenants and keys of limits are in use, 1 are allowed")
    driver.later(1_000)
    driver.do(Tick())
    driver.do(put("b", key="2"))


def test_what_a_limit_counts_by_stays(driver: Limited) -> None:
    driver.do(limit("stripe", concurrency=1))
    text = driver.refusal(limit("stripe", per="key")).text
    assert text.startswith("limit 'stripe' counts by nothing and cannot count by key: delete it")
    driver.do(limit("stripe", per=None, rate="1/s"))
    quota = driver.machine.gates.quotas["stripe"]
    assert (quota.concurrency, quota.rate) == (1, "1/s")


@pytest.mark.parametrize("command", [PauseGates("no", 0), limit("a,b"), limit(" a"), limit("")])
def test_other_refusals(driver: Limited, command: Command) -> None:
    driver.refusal(command)


# ---- every entry, at random ---------------------------------------------------------------------

LIMITS = st.sampled_from(["a", "b", "t"])
LIMIT_NAMES = st.lists(LIMITS, unique=True, max_size=3).map(tuple)


class RecountedMachine(RuleBasedStateMachine):
    """Whatever happens, gates count what runs; nothing passes beyond what is allowed."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = Limited()
        self.twin = Limited()  # writes what changed at other times
        self.ids = 0
        self.passed: dict[tuple[str, str], list[int]] = {}
        self.do(limit("a", concurrency=2), limit("b", concurrency=1, rate="2/s", burst=2))
        self.do(limit("t", concurrency=1, per="tenant", rate="1/s"))

    def do(self, *commands: Command) -> Applied:
        applied = self.driver.apply(*commands)
        self.twin.db.execute("BEGIN") if not self.twin.db.in_transaction else None
        self.twin.now = self.driver.now
        twin = self.twin.machine.apply(encode_batch(self.driver.now, list(commands)))
        assert twin == applied
        return applied

    @rule(names=LIMIT_NAMES, tenant=st.sampled_from(["", "x", "y"]), count=st.integers(1, 3))
    def enqueue(self, names: tuple[str, ...], tenant: str, count: int) -> None:
        ids = [str(self.ids + i) for i in range(count)]
        self.ids += count
        self.do(put(*ids, limits=names, tenant=tenant, created=self.driver.now))

    @rule(data=st.data())
    def assign(self, data: st.DataObject) -> None:
        seqs = data.draw(st.lists(st.integers(1, self.driver.machine.state.seq + 1), max_size=6))
        applied = self.do(Assign(WORKER, seqs))
        for effect in applied.effects:
            if isinstance(effect, Assigned):
                for token, _, _ in effect.tasks:
                    for gate in self.driver.machine.gates.of(token):
                        self.passed.setdefault(gate, []).append(self.driver.now)

    @rule(
        data=st.data(),
        how=st.sampled_from(["finish", "fail", "later", "lose", "expire"]),
    )
    def end(self, data: st.DataObject, how: str) -> None:
        token = data.draw(st.integers(0, self.driver.machine.state.token + 1))
        self.do(
            {
                "finish": Finish([(token, b"")]),
                "fail": Fail(token, FAILURE, 0),
                "later": Fail(token, FAILURE, self.driver.now + 700),
                "lose": Lose([(token, True)]),
                "expire": Expire(token, 0),
            }[how]
        )

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        running = list(self.driver.machine.running())
        if not running:
            return
        run = data.draw(st.sampled_from(running))
        gates = self.driver.machine.gates.of(run.token)
        given_back = {g: self.driver.machine.gates.find(g).last == run.token for g in gates}
        self.do(Release([run.token]))
        for gate, was_last in given_back.items():
            if was_last:
                self.passed[gate].pop()

    @rule(ms=st.integers(0, 1_500))
    def pass_time(self, ms: int) -> None:
        self.driver.later(ms)
        self.do(Tick())

    @rule()
    def write(self) -> None:
        if self.twin.db.in_transaction:
            self.twin.machine.flush()
            self.twin.db.execute("COMMIT")

    @rule()
    def restart(self) -> None:
        self.driver.reopen()

    @invariant()
    def gates_count_what_runs(self) -> None:
        gates = self.driver.machine.gates
        runs = {run.seq: run.token for run in self.driver.machine.running()}
        held = Counter(gate for token in runs.values() for gate in gates.of(token))
        known = {name: gate for name, gate in gates._gates.items() if _in_use(gate)}
        assert {name: gate.held for name, gate in known.items() if gate.held} == dict(held)
        rows = set(self.driver.db.execute("SELECT name, key FROM gate"))
        assert rows == {name for name, gate in known.items() if not gate.blank}
        assert gates.rows == len(rows)
        in_use, running = (Counter(n for n, _ in of) for of in (known, held.elements()))
        for limit_ in "abt":
            assert gates.use_of(limit_) == (running[limit_], in_use[limit_])
        for (name, _), count in held.items():
            assert count <= {"a": 2, "b": 1, "t": 1}[name]
        timers = [ref for (ref,) in self.driver.db.execute("SELECT ref FROM timer WHERE kind = 4")]
        live = [t for (t,) in self.driver.db.execute("SELECT timer FROM gate WHERE timer > 0")]
        assert sorted(timers) == sorted(live)
        assert all(gate.held or gate.timer for gate in known.values())

    @invariant()
    def rates_hold(self) -> None:
        for (name, key), times in self.passed.items():
            burst, interval = {"b": (2, 500), "t": (1, 1_000)}.get(name, (10**9, 0))
            for i, since in enumerate(times):
                for j, until in enumerate(times[i:], 1):
                    assert j <= burst + (interval and (until - since) // interval), (
                        name,
                        key,
                        times,
                    )

    def teardown(self) -> None:
        assert self.twin.machine.digest() == self.driver.machine.digest()


TestRecounted = RecountedMachine.TestCase
TestRecounted.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
