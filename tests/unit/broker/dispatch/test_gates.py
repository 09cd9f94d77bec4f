"""Limits, as the leader hands tasks out: nothing behind a shut gate is looked at in vain."""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftwork.broker.dispatch import queue_backlog
from raftwork.broker.dispatch.queue_backlog import QueueBacklog
from raftwork.broker.machine.commands import Command, Finish, HoldBack, Lose, Release
from raftwork.features.effects import Effect, NotAssigned
from raftwork.features.enqueue import Admit
from raftwork.features.limit_settings import ENDLESS, changes
from raftwork.features.limits import ConfigureLimit, DropLimit, PauseGates
from raftwork.features.queue_settings import Configure
from raftwork.features.queue_settings import changes as queue_changes
from raftwork.features.reschedule import MoveTo
from raftwork.messages import Extras, Failure, Spec, encode_failure, encode_spec
from raftwork.wire import pack
from tests.unit.broker.dispatch.test_dispatcher import DispatcherHarness, dispatcher_of, worker


def limit(name: str, **values: object) -> ConfigureLimit:
    return ConfigureLimit(name, changes(**values))


def put(
    *ids: str,
    limits: tuple[str, ...] = (),
    tenant: str = "",
    key: str = "",
    priority: int = 0,
    queue: str = "default",
) -> Admit:
    spec = Spec("job", queue, limits=limits, priority=100 + priority)
    tasks = [[id_, b"payload", key, Extras(tenant=tenant)] for id_ in ids]
    return Admit(0, encode_spec(spec), pack(tasks))


class Gated(DispatcherHarness):
    """A leader whose entries are applied at once, and a worker with many slots."""

    def __init__(self, slots: int = 100, window: int = 0) -> None:
        super().__init__(worker("w", slots, window, "default", "other"))
        self.refused = 0

    def _act(self, effect: Effect) -> None:
        if isinstance(effect, NotAssigned):
            self.refused += len(effect.seqs)
            self.dispatcher.not_assigned(effect.seqs)
        else:
            super()._act(effect)

    def do(self, *commands: Command) -> list[str]:
        """The tasks that are handed out then."""
        self.propose(*commands)
        self.commit()
        self.dispatcher.needs_plan = True
        return self.go_on()

    def go_on(self) -> list[str]:
        before = len(self.handed)
        self.dispatcher.pass_time(self.queues.time)
        while self.dispatcher.needs_plan:
            self.plan()
            self.commit()
        return [self.id_of(token) for token, _ in self.handed[before:]]

    def id_of(self, token: int) -> str:
        run = self.queues.machine.current(token)
        assert run is not None
        return run.id

    def token(self, id_: str) -> int:
        return next(run.token for run in self.queues.machine.running() if run.id == id_)

    def ids(self) -> list[str]:
        return [run.id for run in self.queues.machine.running()]

    def finish(self, *ids: str) -> list[str]:
        self.over(Finish([(self.token(id_), b"") for id_ in ids]))
        return self.go_on()

    def later(self, ms: int) -> list[str]:
        self.queues.time += ms
        return self.go_on()

    def next_leader(self) -> list[str]:
        self.dispatcher = dispatcher_of(self.queues)
        return self.go_on()


def test_a_shut_gate_holds_up_nothing_but_its_own() -> None:
    gated = Gated()
    assert gated.do(limit("one", concurrency=1)) == []
    assert gated.do(put("a", "b", "c", limits=("one",)), put("x", "y")) == ["a", "x", "y"]
    assert gated.finish("x") == []
    assert gated.finish("a") == ["b"]
    assert gated.finish("b") == ["c"]
    assert gated.refused == 0


@pytest.mark.parametrize(
    "how", [lambda t: Release([t]), lambda t: Lose([(t, True)])], ids=["release", "lose"]
)
def test_what_comes_back_is_first_again(how: Callable[[int], Command]) -> None:
    gated = Gated()
    gated.do(limit("one", concurrency=1), put("a", "b", limits=("one",)))
    gated.over(how(gated.token("a")))
    assert gated.go_on() == ["a"]


def test_the_next_leader_goes_on_where_the_gates_are() -> None:
    gated = Gated()
    gated.do(limit("one", concurrency=1), put("a", "b", limits=("one",)))
    assert gated.next_leader() == []
    assert gated.finish("a") == ["b"]


def test_priority_and_place_count_at_a_gate_too() -> None:
    gated = Gated()
    gated.do(limit("one", concurrency=1), put("a", limits=("one",)))
    gated.do(put("b", limits=("one",)), put("c", limits=("one",), tenant="t"))
    gated.do(put("d", limits=("one",), priority=5), put("e", limits=("one",)))
    served = [gated.finish(*gated.ids()) for _ in range(4)]
    assert served == [["d"], ["b"], ["c"], ["e"]]


def test_tenants_of_a_fair_queue_take_turns_at_a_gate() -> None:
    gated = Gated()
    gated.do(Configure("default", queue_changes(fair=True)), limit("two", concurrency=2))
    gated.do(put(*(f"big{i}" for i in range(20)), limits=("two",), tenant="big"))
    gated.do(put("small0", "small1", limits=("two",), tenant="small"))
    assert gated.finish("big0") == ["small0"]
    assert gated.finish("small0") == ["small1"]


def test_two_gates_crossed_by_two_kinds_do_not_block_each_other() -> None:
    gated = Gated()
    gated.do(limit("a", concurrency=1), limit("b", concurrency=1))
    gated.do(put("ab1", "ab2", limits=("a", "b")), put("b1", "b2", limits=("b",)))
    assert gated.do(put("a1", "a2", limits=("a",))) == []
    served: list[str] = []
    while ids := gated.ids():
        served += ids
        gated.finish(*ids)
    assert Counter(served) == Counter(["ab1", "ab2", "b1", "b2", "a1", "a2"])


def test_a_gate_serves_all_queues_whose_tasks_stand_at_it() -> None:
    gated = Gated()
    gated.do(limit("one", concurrency=1), put("a", limits=("one",)))
    gated.do(put("b", limits=("one",), queue="other"), put("c", limits=("one",)))
    served = [*gated.finish("a")]
    served += gated.finish(*served)
    assert sorted(served) == ["b", "c"]


def test_a_rate_is_followed_by_the_clock_without_an_entry() -> None:
    gated = Gated()
    assert gated.do(limit("r", rate="10/s"), put("a", "b", "c", limits=("r",))) == ["a"]
    assert gated.dispatcher.wake_at == gated.queues.time + 100
    assert gated.later(99) == []
    assert gated.later(1) == ["b"]
    assert gated.later(1_000) == ["c"]
    assert gated.refused == 0


def test_a_burst_is_handed_out_at_once_and_no_more() -> None:
    gated = Gated()
    assert gated.do(limit("r", rate="1/s", burst=3), put(*"abcde", limits=("r",))) == [*"abc"]
    assert gated.refused == 0


def test_what_has_a_rate_is_not_held_ahead_and_what_has_a_concurrency_is() -> None:
    gated = Gated(slots=1, window=10)
    gated.do(limit("r", rate="1000/s", burst=100), limit("c", concurrency=3))
    assert gated.do(put("x"), put("a", limits=("r",)), put(*"bcde", limits=("c",))) == ["x"]
    gated = Gated(slots=1, window=10)
    gated.do(limit("c", concurrency=3))
    assert gated.do(put("x"), put(*"bcde", limits=("c",))) == [*"xbcd"]


def test_a_pause_and_a_resume_hold_at_once() -> None:
    gated = Gated()
    gated.do(limit("one", concurrency=5), PauseGates("one", ENDLESS))
    assert gated.do(put("a", limits=("one",))) == []
    assert gated.later(10**6) == []
    assert gated.do(PauseGates("one", 0)) == ["a"]
    gated.do(PauseGates("one", gated.queues.time + 500))
    assert gated.do(put("b", limits=("one",))) == []
    assert gated.later(500) == ["b"]


def test_a_limit_that_is_raised_or_deleted_lets_more_in_at_once() -> None:
    gated = Gated()
    gated.do(limit("one", concurrency=1), put(*"abcde", limits=("one",)))
    assert gated.do(limit("one", concurrency=3)) == ["b", "c"]
    assert gated.do(DropLimit("one")) == ["d", "e"]


def test_a_rate_that_is_raised_is_followed_at_once() -> None:
    gated = Gated()
    gated.do(limit("paced", rate="1/d"), Configure("default", queue_changes(rate="1/d")))
    assert gated.do(put(*"abc", limits=("paced",))) == ["a"]
    assert gated.later(1) == []
    assert gated.do(limit("paced", rate="1/s")) == []
    assert gated.do(Configure("default", queue_changes(rate="1/s"))) == []
    assert gated.later(1_000) == ["b"]
    assert gated.later(1_000) == ["c"]


@pytest.mark.parametrize("word", [PauseGates("one", 0), limit("one", concurrency=4)])
def test_what_code_has_shut_goes_on_when_somebody_says_so(word: Command) -> None:
    gated = Gated(slots=1)
    gated.do(limit("one", concurrency=5))
    assert gated.do(put("a", "b", limits=("one",))) == ["a"]
    (run,) = gated.queues.machine.running()
    failure = encode_failure(Failure("RateLimited", "429", ""))
    gated.over(HoldBack(run.token, gated.queues.time + 10**9, "", failure))
    assert gated.go_on() == []
    assert gated.do(word) == ["a"]


@pytest.mark.parametrize("laned", [False, True])
def test_a_queue_has_limits_of_its_own(laned: bool) -> None:
    gated = Gated()
    gated.do(Configure("default", queue_changes(concurrency=2)))
    assert gated.do(put(*"abcd", priority=int(laned))) == ["a", "b"]
    assert gated.finish("a") == ["c"]
    assert gated.do(Configure("default", queue_changes(concurrency=None))) == ["d"]
    gated.do(Configure("default", queue_changes(rate="1/s")))
    assert gated.do(put(*"efg")) == ["e"]
    assert gated.later(1_000) == ["f"]
    assert gated.refused == 0


def test_what_the_machine_refuses_waits_on() -> None:
    """Another entry took the last place after the Assign was proposed."""
    gated = Gated()
    gated.do(limit("one", concurrency=1))
    gated.propose(put("a", "b", limits=("one",)))
    gated.commit()
    gated.dispatcher.needs_plan = True
    gated.plan()  # "a" is on its way
    gated.log.insert(0, PauseGates("one", ENDLESS))
    gated.commit()
    assert gated.refused == 1
    assert gated.go_on() == []
    assert gated.workers[0].busy == 0
    assert gated.do(PauseGates("one", 0)) == ["a"]


def test_what_was_moved_and_then_refused_waits_on_once() -> None:
    """While its Assign was on its way a task was moved, became ready, and its gate shut."""
    gated = Gated()
    gated.do(limit("one", concurrency=2))
    gated.propose(put("a", limits=("one",)))
    gated.commit()
    gated.dispatcher.needs_plan = True
    gated.plan()
    soon = gated.queues.time + 10
    (assign,) = gated.log
    gated.log = [MoveTo("a", soon)]
    gated.commit()
    gated.queues.time = soon
    gated.propose(PauseGates("one", ENDLESS), assign)
    gated.commit()
    assert gated.refused == 1
    assert gated.do(PauseGates("one", 0)) == ["a"]
    assert gated.refused == 1, "it was handed out twice"


def test_what_a_shut_gate_costs_does_not_grow_with_what_waits_at_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0
    original = QueueBacklog._stands

    def counted(self: QueueBacklog, lane: int) -> bool:
        nonlocal looks
        looks += 1
        return original(self, lane)

    monkeypatch.setattr(QueueBacklog, "_stands", counted)
    gated = Gated()
    gated.do(limit("one", concurrency=1), put("a0", limits=("one",)))
    gated.do(*(put(f"a{i}", limits=("one",), tenant=str(i)) for i in range(1, 500)))
    looks = 0
    for i in range(20):
        assert gated.finish(f"a{i}") == [f"a{i + 1}"]
        assert gated.do(put(f"x{i}")) == [f"x{i}"]
    assert looks < 200


def test_keys_that_are_over_leave_nothing_behind_while_others_wait() -> None:
    """There may be any number of keys in a day, and a queue that is never empty."""
    lead = Gated()
    lead.do(limit("keys", concurrency=1, per="key"), limit("full", concurrency=1))
    lead.do(put("holds", "waits", limits=("full",)))
    for at in range(20):
        ids = [f"{at} {n}" for n in range(3)]
        assert lead.do(put(*ids, limits=("keys",), key=f"key {at}")) == ids[:1]
        assert [lead.finish(id_) for id_ in ids] == [ids[1:2], ids[2:], []]
    queue = lead.dispatcher._backlogs["default"]
    assert set(queue._turns._alone_at) == {("full", "")}
    assert set(queue._lanes) == set(queue._turns._alone_at.values())
    assert set(lead.dispatcher._room._waiting) == {("full", "")}
    assert lead.finish("holds") == ["waits"]


def test_many_lanes_that_are_found_shut_do_not_hold_up_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queue_backlog, "MOVES_MAX", 10)
    gated = Gated()
    gated.do(limit("k", concurrency=1, per="key"))
    for i in range(35):
        gated.propose(put(f"a{i}", f"b{i}", limits=("k",), key=str(i)))
    assert len(gated.do()) == 35
    assert gated.do(put("x")) == ["x"]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_all_are_served_and_no_limit_is_passed_whatever_happens(data: st.DataObject) -> None:
    """Three limits over each other: nothing is forgotten at a gate."""
    gated = Gated(slots=data.draw(st.sampled_from([1, 3, 100])))
    if data.draw(st.booleans()):
        gated.do(Configure("default", queue_changes(fair=True)))
    gated.do(limit("a", concurrency=2), limit("b", concurrency=1))
    gated.do(limit("t", concurrency=1, per="tenant"))
    most = {"a": 2, "b": 1, "t": 1}
    names = st.lists(st.sampled_from(["a", "b", "t"]), unique=True, max_size=3).map(tuple)
    ids = 0
    for _ in range(data.draw(st.integers(5, 30))):
        match data.draw(st.sampled_from(["put", "put", "finish", "release", "leader"])):
            case "put":
                tenant, priority = data.draw(st.sampled_from("xy")), data.draw(st.integers(0, 1))
                gated.do(
                    put(
                        str(ids),
                        str(ids + 1),
                        limits=data.draw(names),
                        tenant=tenant,
                        priority=priority,
                    )
                )
                ids += 2
            case "leader":
                gated.next_leader()
            case how:
                if running := gated.ids():
                    token = gated.token(data.draw(st.sampled_from(running)))
                    gated.over(Finish([(token, b"")]) if how == "finish" else Release([token]))
                    gated.go_on()
        held = Counter(
            gate
            for run in gated.queues.machine.running()
            for gate in gated.queues.machine.gates.of(run.token)
        )
        assert all(count <= most[name] for (name, _), count in held.items())
    while running := gated.ids():
        gated.finish(*running)
    assert gated.queues.machine.queue("default").queued == 0
    assert gated.refused == 0
