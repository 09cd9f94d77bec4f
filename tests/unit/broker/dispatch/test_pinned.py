"""Tasks for one worker as they are handed out: to it alone, in order, and in nobody's way."""

import pytest

from raftwork.broker.dispatch.pinned import PinnedBacklogs
from raftwork.broker.machine.commands import Finish, Release
from raftwork.features.cancel import CancelSome, Scope
from raftwork.features.flow_graph import BroadcastKind, Graph, Node, encode_graph
from raftwork.features.flows import Grow
from raftwork.features.limit_settings import changes as limit_changes
from raftwork.features.limits import ConfigureLimit
from raftwork.features.pause_queue import Pause, Resume
from raftwork.features.pins import WorkerGone
from raftwork.features.queue_settings import Configure, changes
from raftwork.messages import Spec, encode_spec
from raftwork.wire import pack
from tests.unit.broker.dispatch.test_dispatcher import DispatcherHarness, planned, worker
from tests.unit.broker.dispatch.test_queue_backlog import USUAL, Served, put
from tests.unit.broker.queues import enqueue


def to(
    *names: str,
    id: str = "b",  # noqa: A002
    priority: int = 0,
    at_most_once: bool = False,
    limits: tuple[str, ...] = (),
) -> Grow:
    """A broadcast: the tasks `b/1.1` and so on, for the workers of these names in their order."""
    spec = Spec(
        "job", "default", priority=USUAL + priority, at_most_once=at_most_once, limits=limits
    )
    node = Node(1, pack([[], {}]), broadcast=BroadcastKind.VALUES)
    graph = Graph([encode_spec(spec)], [node, Node(0, pack(None), [0])])
    return Grow(0, id, 1_000, False, encode_graph(graph), [("default", list(names))])


class Several(DispatcherHarness):
    """Workers w1, w2 and so on, with so many slots each."""

    def __init__(self, *slots: int, window: int = 0) -> None:
        super().__init__(*(worker(f"w{at}", each, window) for at, each in enumerate(slots, 1)))

    def enter(self, *commands: object) -> None:
        self.propose(*commands)  # type: ignore[arg-type]
        self.commit()
        self.dispatcher.needs_plan = True

    def ids(self) -> dict[str, list[str]]:
        """What a plan hands out, by worker."""
        found = {
            name: [
                self.queues.db.execute("SELECT id FROM task WHERE seq = ?", (seq,)).get
                for seq in seqs
            ]
            for name, seqs in planned(self.plan()).items()
        }
        self.commit()
        return found

    def finish_all(self) -> None:
        self.over(Finish([(run.token, b"") for run in self.queues.machine.running()]))


@pytest.fixture(params=[False, True], ids=["one leader", "a new leader each time"])
def served(request: pytest.FixtureRequest) -> Served:
    return Served(fails_over=request.param)


def test_each_goes_to_its_worker() -> None:
    several = Several(1, 1, 1)
    several.enter(to("w1", "w2", "w3"))
    assert several.ids() == {"w1": ["b/1.1"], "w2": ["b/1.2"], "w3": ["b/1.3"]}


def test_none_goes_to_another_worker_and_none_holds_up_another_task() -> None:
    several = Several(1, 1)
    several.enter(*(to("gone", id=f"b{at}") for at in range(20)), enqueue("x", "y", "z"))
    assert sum(map(len, several.ids().values())) == 2
    several.finish_all()
    assert sum(map(len, several.ids().values())) == 1


def test_what_waits_for_a_full_worker_is_its_next_one() -> None:
    several = Several(1, 1)
    several.enter(enqueue(*(f"t{at}" for at in range(9))))
    several.plan()
    several.commit()
    several.enter(to("w1"))
    assert several.ids() == {}
    several.finish_all()
    given = several.ids()
    assert given["w1"] == ["b/1.1"]
    assert len(given["w2"]) == 1


def test_of_higher_priorities_it_is_behind_and_of_lower_ones_before(served: Served) -> None:
    served.enter(put("high", priority=5), put("usual"), put("low", priority=-5))
    served.enter(to("w"), to("w", id="c", priority=9))
    assert served.serve() == ["c/1.1", "high", "b/1.1", "usual", "low"]


def test_it_waits_behind_higher_priorities_but_not_for_ever() -> None:
    served = Served()
    served.enter(Configure("default", changes(patience=3)))
    served.enter(to("w", priority=-9), put(*(f"high{at}" for at in range(9)), priority=9))
    assert served.serve().index("b/1.1") == 3


def test_without_patience_it_waits_for_ever_behind_higher_priorities() -> None:
    served = Served()
    served.enter(Configure("default", changes(patience=0)))
    served.enter(to("w", priority=-9), put(*(f"high{at}" for at in range(40)), priority=9))
    assert served.serve().index("b/1.1") == 40


def test_several_for_one_worker_go_by_priority_and_then_in_their_order(served: Served) -> None:
    served.enter(to("w"), to("w", id="c", priority=5), to("w", id="d"))
    assert served.serve() == ["c/1.1", "b/1.1", "d/1.1"]


def test_what_comes_back_stands_where_it_stood(served: Served) -> None:
    served.enter(to("w"), to("w", id="c"))
    token = served.hand_out()
    served.over(Release([token]))
    assert served.serve() == ["b/1.1", "c/1.1"]


def test_limits_hold_for_it(served: Served) -> None:
    served.enter(ConfigureLimit("one", limit_changes(concurrency=1)))
    served.workers[0].slots = 2
    served.enter(to("w", limits=("one",)), to("w", id="c", limits=("one",)))
    first = served.hand_out()
    assert served.hand_out() == 0
    served.finish(first)
    assert served.id_of(served.hand_out()) == "c/1.1"


def test_the_queues_own_limit_holds_for_it() -> None:
    several = Several(2, 2)
    several.enter(Configure("default", changes(concurrency=1)), to("w1", "w2"))
    assert several.ids() == {"w1": ["b/1.1"]}
    several.finish_all()
    assert several.ids() == {"w2": ["b/1.2"]}


def test_a_pause_holds_for_it(served: Served) -> None:
    served.enter(to("w"), Pause("default", 10**12))  # type: ignore[arg-type]
    assert served.hand_out() == 0
    served.enter(Resume("default"))  # type: ignore[arg-type]
    assert served.serve() == ["b/1.1"]


def test_what_is_cancelled_is_not_handed_out_and_leaves_nothing(served: Served) -> None:
    served.enter(to("w"), to("w", id="c"), to("gone", id="d"))
    served.enter(CancelSome(Scope.IDS, ["b/1.1"], "", "", 0, 0, 10**6, 500))
    served.enter(WorkerGone("gone", "default"))  # type: ignore[arg-type]
    assert served.serve() == ["c/1.1"]
    served.dispatcher.needs_plan = True
    served.plan()
    assert not served.dispatcher._pinned.by_queue
    assert not served.dispatcher._backlogs


def test_new_tasks_do_not_begin_where_one_waits_for_that_worker_alone() -> None:
    several = Several(1, 1)
    several.enter(to("w1"))
    begun = several.dispatcher.begin("default", "job", 2, several.workers)
    assert [incarnation.rstrip(b".") for incarnation, _ in begun] == [b"w2"]


def test_it_may_be_held_ahead_as_others_are() -> None:
    several = Several(1, window=1)
    several.enter(put("a"), to("w1"))
    assert several.ids() == {"w1": ["b/1.1", "a"]}


def test_where_one_needs_a_free_slot_its_worker_holds_nothing_ahead_of_it() -> None:
    several = Several(1, 1, window=4)
    several.enter(put("x", "y"))
    several.plan()
    several.commit()
    several.enter(to("w1", at_most_once=True), put(*(f"c{at}" for at in range(6))))
    assert set(several.ids()) == {"w2"}
    several.finish_all()
    assert several.ids()["w1"][0] == "b/1.1"


def test_a_queue_with_ordinary_tasks_is_none_the_slower_for_those_that_wait_beside_it() -> None:
    several = Several(1)
    several.enter(to("gone"), enqueue("a"))
    backlog = several.dispatcher._backlogs["default"]
    assert backlog._is_plain
    assert "default" in several.dispatcher._pinned.by_queue


def test_without_any_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    several = Several(1)
    monkeypatch.delattr(PinnedBacklogs, "for_workers")
    several.enter(enqueue("a"))
    assert several.ids() == {"w1": ["a"]}
