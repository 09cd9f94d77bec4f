"""Priority, order by key and fairness, as tasks are handed out; the same under the next leader."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftwork.broker.dispatch import backlog, lane_backlog
from raftwork.broker.dispatch.in_flight import KEPT_BACK_MAX
from raftwork.broker.dispatch.lane_backlog import LaneBacklog
from raftwork.broker.machine.commands import Assign, Fail, Finish, Lose, Release, Tick
from raftwork.broker.placement.eligibility import ANYWHERE
from raftwork.features import key_order
from raftwork.features.cancel import CancelSome, Scope
from raftwork.features.effects import Rejected, Replaced
from raftwork.features.enqueue import Admit
from raftwork.features.flow_graph import Graph, Node, encode_graph
from raftwork.features.flows import Grow
from raftwork.features.lanes import GoOn
from raftwork.features.limit_settings import changes as limit_changes
from raftwork.features.limits import ConfigureLimit
from raftwork.features.queue_settings import Configure, changes
from raftwork.features.reschedule import MoveTo
from raftwork.messages import Extras, Failure, Spec, encode_failure, encode_spec
from raftwork.wire import pack
from tests.unit.broker.dispatch.test_dispatcher import (
    DispatcherHarness,
    dispatcher_of,
    planned,
    worker,
)

FAILURE = encode_failure(Failure("E", "", ""))
USUAL = 100


def put(
    *ids: str,
    priority: int = 0,
    tenant: str = "",
    key: str = "",
    delay: int = 0,
    halts: bool = False,
    created: int = 0,
    name: str = "job",
    limits: tuple[str, ...] = (),
) -> Admit:
    spec = Spec(
        name,
        "default",
        limits=limits,
        priority=USUAL + priority,
        ordered=bool(key),
        delay=delay,
        halts=halts,
        retries=1,
    )
    tasks = [[id_, b"payload", key, Extras(tenant=tenant)] for id_ in ids]
    return Admit(created, encode_spec(spec), pack(tasks))


def fair(**weights: int) -> Configure:
    return Configure("default", changes(fair=True, weights=weights))


class Served(DispatcherHarness):
    """One worker with a slot: what is handed out, one by one."""

    def __init__(self, slots: int = 1, *, fails_over: bool = False) -> None:
        super().__init__(worker("w", slots))
        self.fails_over = fails_over

    def enter(
        self,
        *commands: Admit
        | CancelSome
        | Configure
        | ConfigureLimit
        | Finish
        | GoOn
        | Grow
        | Lose
        | Release
        | Tick,
    ) -> None:
        self.propose(*commands)
        self.commit()
        self.dispatcher.needs_plan = True

    def next_leader(self) -> None:
        self.dispatcher = dispatcher_of(self.queues)

    def hand_out(self) -> int:
        """The token of the task that is handed out; 0 if none is."""
        if self.fails_over:
            self.next_leader()
        before = len(self.handed)
        self.plan()
        self.commit()
        assert len(self.handed) <= before + 1
        return self.handed[-1][0] if len(self.handed) > before else 0

    def id_of(self, token: int) -> str:
        run = self.queues.machine.current(token)
        assert run is not None
        return run.id

    def finish(self, token: int) -> None:
        self.over(Finish([(token, b"")]))

    def of_a_key(self) -> Counter[str]:
        """How many tasks of each key run."""
        seqs = [run.seq for run in self.queues.machine.running()]
        keys = [
            self.queues.db.execute("SELECT key FROM task WHERE seq = ?", (s,)).get for s in seqs
        ]
        return Counter(key for key in keys if key)

    def serve(self, most: int = 10_000) -> list[str]:
        """Hand out and finish task by task, while there is one."""
        served: list[str] = []
        while len(served) < most and (token := self.hand_out()):
            served.append(self.id_of(token))
            self.finish(token)
        return served


@pytest.fixture(params=[False, True], ids=["one leader", "a new leader each time"])
def served(request: pytest.FixtureRequest) -> Served:
    return Served(fails_over=request.param)


# ---- priority -----------------------------------------------------------------------------------


def test_the_highest_priority_comes_first_and_in_it_who_came_first(served: Served) -> None:
    served.enter(put("a"), put("b", priority=-1), put("c", "d", priority=5), put("e", "f"))
    served.enter(put("g", priority=5), put("h", priority=100))
    assert served.serve() == [*"hcdgaefb"]


def test_several_at_once_are_handed_out_in_that_order_too() -> None:
    served = Served(slots=8)
    served.enter(put("a"), put("b", priority=-1), put("c", "d", priority=5))
    assert planned(served.plan()) == {"w": [3, 4, 1, 2]}


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(-1, 1), st.sampled_from(["", "t"]), st.integers(1, 9))),
    st.sampled_from([None, 0, 1, 2, 3]),
)
def test_many_at_once_are_handed_out_as_one_by_one(
    batches: list[tuple[int, str, int]], patience: int | None
) -> None:
    """Those that follow each other in a lane are taken together, and no other's turn with them."""

    def order(slots: int) -> list[int]:
        served = Served(slots)
        served.enter(Configure("default", changes(patience=patience)))
        for at, (priority, tenant, count) in enumerate(batches):
            ids = [f"{at} {i}" for i in range(count)]
            served.enter(put(*ids, priority=priority, tenant=tenant))
        found: list[int] = []
        while assigns := served.plan():
            found += [seq for assign in assigns for seq in assign.seqs]
            served.commit()
            for token in [token for token, _ in served.handed]:
                served.finish(token)
            served.handed.clear()
            served.dispatcher.needs_plan = True
        return found

    assert order(slots=1_000) == order(slots=1)


def test_what_was_moved_in_time_as_it_was_handed_out_is_handed_out_once() -> None:
    """Its Assign was on its way when it was moved, and it waits again before that is applied."""
    served = Served(slots=3)
    served.enter(put("a", "b", priority=5))
    assert planned(served.plan()) == {"w": [1, 2]}
    (assign,) = served.log
    served.log = [MoveTo("a", served.queues.time + 10)]
    served.commit()
    served.queues.time += 10
    served.enter(Tick(), put(*(f"c{i}" for i in range(5)), priority=5))
    assert planned(served.plan()) == {"w": [4]}  # of the lane the first that nobody has
    served.log.insert(0, assign)
    served.commit()
    assert served.seqs == [1, 2, 4]


@pytest.mark.parametrize(("waits_still", "first"), [(False, 2), (True, 1)])
def test_what_is_on_its_way_is_passed_over_unless_it_is_refused(
    *, waits_still: bool, first: int
) -> None:
    served = Served()
    served.enter(put("a", "b", priority=5))
    machine = served.queues.machine
    lane = machine.lane(1)
    assert lane is not None
    waiting_there = LaneBacklog(1, lane, machine, set(), first=1)
    waiting_there.pass_over([1])
    if waits_still:
        waiting_there.came(1)
    head = waiting_there.head()
    assert head is not None
    assert head.seq == first


def test_none_waits_for_ever_behind_higher_priorities() -> None:
    served = Served()
    served.enter(put("low", priority=-100), put(*(f"high{i}" for i in range(40)), priority=9))
    assert served.serve().index("low") == 15


@pytest.mark.parametrize("patience", [0, 3])
def test_how_long_it_waits_at_most_is_set_for_the_queue(patience: int) -> None:
    served = Served()
    served.enter(Configure("default", changes(patience=patience)))
    served.enter(put("low", priority=-100), put(*(f"high{i}" for i in range(40)), priority=9))
    assert served.serve().index("low") == (patience - 1 if patience else 40)


@pytest.mark.parametrize("how", ["lost", "released", "failed"])
def test_what_waits_again_stands_where_it_stood(served: Served, how: str) -> None:
    served.enter(put("a", "b", "c", priority=3), put("z", priority=2))
    token = served.hand_out()
    assert served.id_of(token) == "a"
    ways = {"lost": Lose([(token, True)]), "released": Release([token])}
    served.over(ways.get(how) or Fail(token, FAILURE, 0))
    assert served.serve() == [*"abcz"]


def test_what_was_delayed_stands_behind_what_came_before_it_was_due(served: Served) -> None:
    served.enter(put("later", delay=10, created=served.queues.time), put("a", "b"))
    served.queues.time += 10
    served.enter(Tick(), put("c"))
    assert served.serve() == ["a", "b", "later", "c"]


def test_a_delayed_task_that_failed_keeps_its_place(served: Served) -> None:
    served.enter(put("later", delay=10, created=served.queues.time))
    served.queues.time += 10
    served.enter(Tick(), put("c"))
    token = served.hand_out()
    served.over(Fail(token, FAILURE, served.queues.time))
    assert served.serve() == ["later", "c"]


# ---- order by key -------------------------------------------------------------------------------


def test_tasks_of_one_key_run_one_by_one_in_their_order() -> None:
    served = Served(slots=8)
    served.enter(put("a1", "a2", "a3", key="a"), put("b1", "b2", key="b"), put("x"))
    assert planned(served.plan()) == {"w": [1, 4, 6]}
    served.commit()
    assert planned(served.plan()) == {}
    served.finish(1)
    assert planned(served.plan()) == {"w": [2]}


def test_the_order_of_a_key_goes_before_priority(served: Served) -> None:
    served.enter(put("1", key="k"), put("2", key="k", priority=50), put("3", key="k", tenant="t"))
    assert served.serve() == ["1", "2", "3"]


def test_the_next_waits_while_the_first_waits_for_a_retry(served: Served) -> None:
    served.enter(put("1", "2", key="k"))
    served.over(Fail(served.hand_out(), FAILURE, served.queues.time + 50))
    assert served.hand_out() == 0
    served.queues.time += 50
    served.enter(Tick())
    assert served.serve() == ["1", "2"]


def test_after_a_final_failure_the_next_goes_on(served: Served) -> None:
    served.enter(put("1", "2", key="k"))
    served.over(Fail(served.hand_out(), FAILURE, 0, True))
    assert served.serve() == ["2"]


def test_or_the_key_halts_until_it_is_resumed(served: Served) -> None:
    served.enter(put("1", "2", key="k", halts=True))
    served.over(Fail(served.hand_out(), FAILURE, 0, True))
    served.enter(put("3", key="k"), put("other", key="l"))
    assert served.serve() == ["other"]
    served.enter(GoOn("default", "k"))
    assert served.serve() == ["2", "3"]


def test_a_halted_key_halts_what_comes_after_all_were_served(served: Served) -> None:
    served.enter(put("1", key="k", halts=True))
    served.over(Fail(served.hand_out(), FAILURE, 0, True))
    served.enter(put("2", key="k"))
    assert served.serve() == []
    served.enter(GoOn("default", "k"))
    assert served.serve() == ["2"]
    assert served.queues.apply(GoOn("default", "k")).replies[0].affected == 0  # type: ignore[union-attr]


def test_a_delayed_task_takes_its_turn_in_the_key_when_it_is_due(served: Served) -> None:
    served.enter(put("later", key="k", delay=10, created=served.queues.time))
    served.enter(put("1", "2", key="k"))
    served.queues.time += 10
    served.enter(Tick(), put("3", key="k"))
    assert served.serve() == ["1", "2", "later", "3"]


# ---- fairness -----------------------------------------------------------------------------------


def test_tenants_take_turns_whatever_each_has_waiting() -> None:
    """Under one leader: each begins the turns anew."""
    served = Served()
    served.enter(fair(), put(*(f"big{i}" for i in range(50)), tenant="big"))
    served.enter(put("s1", "s2", tenant="s"), put("t1", tenant="t"), put("nobody's"))
    first = served.serve(7)
    assert Counter(name.rstrip("0123456789") for name in first) == Counter(
        {"big": 3, "s": 2, "t": 1, "nobody's": 1}
    )


def _kept_back(served: Served, many: int, limits: tuple[str, ...] = ()) -> None:
    """So many tasks of tenant "a" are taken, and no worker may have them."""
    served.eligibility.does_not_know(served.workers[0].incarnation, "rare")
    served.enter(
        fair(), put(*(f"r{i}" for i in range(many)), tenant="a", name="rare", limits=limits)
    )
    assert served.serve(1) == []


@pytest.mark.parametrize("shut", [False, True], ids=["no worker", "a gate shut meanwhile"])
def test_what_is_kept_back_takes_no_turn_of_its_tenant(shut: bool) -> None:
    served = Served(slots=2)
    served.enter(ConfigureLimit("few", limit_changes(concurrency=20)), put("z", limits=("few",)))
    assert served.id_of(served.hand_out()) == "z"
    _kept_back(served, 10, ("few",))
    if shut:
        served.enter(ConfigureLimit("few", limit_changes(concurrency=1)))
        served.eligibility.left(served.workers[0].incarnation)
        assert served.serve(1) == []
    served.enter(put(*(f"b{i}" for i in range(8)), tenant="b"))
    served.enter(put(*(f"a{i}" for i in range(8)), tenant="a"))
    assert Counter(name[0] for name in served.serve(8)) == Counter(a=4, b=4)


def test_what_was_kept_back_counts_once_it_is_in_flight() -> None:
    served = Served(slots=4)
    _kept_back(served, 2)
    served.eligibility.left(served.workers[0].incarnation)
    served.enter(put(*(f"b{i}" for i in range(8)), tenant="b"))
    served.enter(put(*(f"a{i}" for i in range(8)), tenant="a"))
    served.plan()
    served.commit()
    ids = [served.id_of(token) for token, _ in served.handed]
    assert Counter(ids) == Counter(["r0", "r1", "b0", "b1"])


def test_what_ends_while_it_is_kept_back_leaves_nothing_behind() -> None:
    served = Served()
    _kept_back(served, 3)
    in_flight = served.dispatcher._in_flight
    assert len(in_flight._kept_back) == 3
    served.enter(CancelSome(Scope.IDS, ["r0", "r1", "r2"], "", "", 0, 0, 99, 99))
    served.serve()
    assert not in_flight.keeps_back
    assert in_flight._kept == {}
    assert not in_flight._counts["default"]


def test_a_tenant_of_whose_tasks_many_are_kept_back_leaves_room_for_others() -> None:
    served = Served(slots=20)
    served.eligibility.does_not_know(served.workers[0].incarnation, "rare")
    served.enter(fair(), put(*(f"r{i}" for i in range(2_000)), tenant="a", name="rare"))
    served.enter(put(*(f"b{i}" for i in range(400)), tenant="b"))
    for _ in range(15):
        before = len(served.handed)
        served.plan()
        served.commit()
        tokens = [token for token, _ in served.handed[before:]]
        assert len(tokens) == 20
        served.over(Finish([(token, b"") for token in tokens]))
    kept_back = served.dispatcher._in_flight._kept["default", "a"]
    assert KEPT_BACK_MAX <= kept_back <= 2 * KEPT_BACK_MAX


def test_without_fairness_the_order_is_that_of_places(served: Served) -> None:
    served.enter(put("a", tenant="x"), put("b", tenant="y"), put("c", tenant="x"), put("d"))
    assert served.serve() == [*"abcd"]


def test_a_weight_is_so_many_turns() -> None:
    served = Served()
    served.enter(fair(acme=3))
    for tenant in ("acme", "other"):
        served.enter(put(*(f"{tenant}{i}" for i in range(40)), tenant=tenant))
    assert Counter(name.rstrip("0123456789") for name in served.serve(40)) == Counter(
        acme=30, other=10
    )


def test_it_is_what_runs_that_counts_first(served: Served) -> None:
    served.workers[0].slots = 4
    served.enter(fair(), put(*(f"a{i}" for i in range(9)), tenant="a"))
    served.plan()
    served.commit()  # four of a run
    served.enter(put("b0", "b1", "b2", tenant="b"))
    served.workers[0].slots = 6
    if served.fails_over:
        served.next_leader()
    served.plan()
    served.commit()
    ids = [served.id_of(token) for token, _ in served.handed]
    assert ids[4:] == ["b0", "b1"]


def test_fairness_counts_at_once_for_what_waits_already() -> None:
    served = Served()
    served.enter(put(*(f"a{i}" for i in range(9)), tenant="a"), put("b", tenant="b"))
    assert served.serve(2) == ["a0", "a1"]
    served.enter(fair())
    assert "b" in served.serve(2)


def test_who_comes_back_has_saved_no_turns() -> None:
    served = Served()
    served.enter(fair(), put("b0", tenant="b"), put(*(f"a{i}" for i in range(40)), tenant="a"))
    served.serve(20)
    served.enter(put(*(f"b{i}" for i in range(1, 20)), tenant="b"))
    assert Counter(name[0] for name in served.serve(10)) == Counter(a=5, b=5)


# ---- memory, and what ends ----------------------------------------------------------------------


def test_a_lane_of_many_is_read_by_pages_whole_and_in_order(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_backlog, "PLACES_MAX", 5)
    monkeypatch.setattr(lane_backlog, "PAGE_TASKS", 4)
    many = [f"{i:02}" for i in range(50)]
    served.enter(put("high", priority=9), put(*many, priority=1))
    assert served.serve() == ["high", *many]


def test_what_ended_while_it_waited_in_a_lane_is_not_proposed() -> None:
    served = Served(slots=4)
    served.enter(put("x", priority=1), put("a", "b", "c", priority=2))
    served.dispatcher._backlogs["default"]._place_of(None, 2)
    served.dispatcher.ended("default", 2)
    assert planned(served.plan()) == {"w": [3, 4, 1]}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_every_task_is_handed_out_once_and_in_an_order_that_is_promised(seed: int) -> None:
    rng = Random(seed)
    served = Served(slots=rng.randint(1, 4))
    if rng.random() < 0.5:
        served.enter(fair(t1=2))
    names = iter(range(10_000))
    for _ in range(60):
        if rng.random() < 0.15:
            assert not served.log
            served.next_leader()
        if rng.random() < 0.6:
            key = rng.choice(["", "", "k", "l"])
            served.enter(
                put(
                    *(f"{next(names)}" for _ in range(rng.randint(1, 3))),
                    priority=rng.choice([0, 0, 1, 5]),
                    tenant=rng.choice(["", "t1", "t2"]),
                    key=key,
                )
            )
        served.plan()
        served.commit()
        running = {run.token: run for run in served.queues.machine.running()}
        assert max(served.of_a_key().values(), default=0) <= 1
        if running and rng.random() < 0.8:
            token = rng.choice(list(running))
            how = rng.random()
            if how < 0.6:
                served.finish(token)
            elif how < 0.8:
                served.over(Release([token]))
            else:
                served.over(Lose([(token, False)]))
    while True:
        served.plan()
        served.commit()
        tokens = [run.token for run in served.queues.machine.running()]
        if not tokens:
            break
        for token in tokens:
            served.finish(token)
    (queue,) = served.queues.machine.queues()
    assert (queue.queued, queue.running) == (0, 0)
    assert queue.succeeded == next(names)
    tables = ("lane", "laned", "key_order", "key_waiting")
    served.queues.machine.flush()
    assert [served.queues.db.execute(f"SELECT count(*) FROM {t}").get for t in tables] == [0] * 4


# ---- what is refused ----------------------------------------------------------------------------


def refusal(served: Served, *commands: Admit | Configure) -> str:
    (reply,) = served.queues.apply(*commands).replies
    assert isinstance(reply, Rejected)
    return reply.text


def test_an_ordered_task_needs_a_key(served: Served) -> None:
    spec = encode_spec(Spec("job", "default", ordered=True))
    assert "needs a key" in refusal(served, Admit(0, spec, pack([["a", b"", "k"], ["b", b""]])))
    assert served.serve() == []


def test_halted_keys_are_bounded(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_order, "HALTED_MAX", 1)
    served.enter(put("1", key="k", halts=True))
    served.over(Fail(served.hand_out(), FAILURE, 0, True))
    assert "1 keys are halted, 1 are allowed" in refusal(served, put("2", key="l", halts=True))
    served.enter(GoOn("default", "k"), put("3", key="l", halts=True))
    assert served.serve() == ["3"]


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"weights": {"a": 0}}, "weights of 'a' must be an int, 1 to 1000, got 0"),
        ({"weights": {"": 1}}, "names of 1 to 255 characters"),
        ({"weights": {f"{i:0200}": 1 for i in range(30)}}, "3000 are allowed: name fewer"),
        ({"patience": -1}, "patience must be between 0 and 1000000, got -1"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(
    served: Served, setting: dict[str, int | dict[str, int]], text: str
) -> None:
    assert text in refusal(served, Configure("default", changes(**setting)))


def test_what_comes_back_to_a_new_leader_goes_before_no_older_ones() -> None:
    served = Served()
    served.enter(put(*"abcd"))
    served.propose(Assign(b"elsewhere", [3]))
    served.log, log = [], served.log
    served.queues.effects(*log)
    served.next_leader()
    first = served.hand_out()
    served.over(Release([1]))  # of c, which another leader handed out
    served.finish(first)
    assert served.serve() == ["b", "c", "d"]


# ---- other arguments ----------------------------------------------------------------------------


def test_what_was_set_aside_of_a_lane_has_the_arguments_that_replace_its_own() -> None:
    served = Served()
    served.enter(put("a", priority=5))
    backlog = served.dispatcher._backlog("default")
    taken = backlog.take(1, 1_000_000, safe=False)
    backlog.skipped.add(ANYWHERE, taken)
    backlog.replaced(Replaced("default", taken[0].seq, b"others", lane=taken[0].seq))
    (again,) = backlog.skipped.take(ANYWHERE, 1, 1_000_000, safe=False)
    assert again.payload == b"others"


def test_the_roots_of_a_large_flow_are_handed_out_in_order_and_stay_on_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backlog, "FRONT_TASKS", 3)
    served, ids = Served(), [f"f/{at}" for at in range(1, 21)]
    graph = Graph(
        [encode_spec(Spec("job", "default"))], [Node(1, b"")] * 20 + [Node(0, pack(None))]
    )
    served.enter(put("before"), Grow(0, "f", 1, False, encode_graph(graph)), put("after"))
    queue = served.dispatcher._backlogs["default"]
    assert len(queue._ordinary._front) <= 3
    assert served.serve() == ["before", *ids, "after"]
