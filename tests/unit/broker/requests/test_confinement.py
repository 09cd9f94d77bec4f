"""A key that is for some queues: tasks of others are to it as if there were none."""

import pytest

from raftwork.broker.access.access_list import Grant
from raftwork.broker.machine.commands import Assign, Finish, Tick
from raftwork.broker.machine.queries import Standing
from raftwork.features import to_broker
from raftwork.features.effects import Settled
from raftwork.features.enqueue import Enqueue
from raftwork.features.flow_graph import Graph, Node, encode_graph
from raftwork.features.flows import SubmitFlow
from raftwork.features.inspect_tasks import ShowTask
from raftwork.features.pause_queue import Delete
from raftwork.features.results import Answer, Ask, Results, Watch, Watched
from raftwork.features.schedule_plan import Fields, encode_fields
from raftwork.features.schedule_records import (
    CreateSchedule,
    Declared,
    DeclareSchedules,
    DeleteSchedule,
    NextTicks,
    ScheduleStands,
    ShowSchedule,
)
from raftwork.features.show_flow import ShowFlow
from raftwork.features.signals import SaySignal
from raftwork.keys import Role
from raftwork.messages import Code, Refused, Result, Spec, State, encode_spec
from raftwork.messages.registry import Frame
from tests.unit.broker.queues import enqueue
from tests.unit.broker.request_harness import ME, RequestHarness

MAIL = Grant("ada", frozenset({Role.ADMIN}), ("mail.*",))


class Confined(RequestHarness):
    """One task in a queue that the key is for, and one in another; the key's session is ME."""

    def __init__(self) -> None:
        super().__init__()
        self.add("mine", "mail.in")
        self.add("theirs", "other")

    def add(self, task: str, queue: str) -> None:
        _, spec, tasks, _ = enqueue(task, spec=Spec("job", queue))
        super().say(Enqueue(99, 0, spec, tasks), b"admin")
        self.commit()

    def submit(self, flow: str, *queues: str) -> None:
        """A flow with a task in each of these queues."""
        specs = [encode_spec(Spec("job", queue)) for queue in queues]
        nodes = [Node(at, b"\x92\x90\x80", []) for at in range(1, len(queues) + 1)]
        whole = Node(0, b"\xc0", [at << 3 for at in range(len(queues))])
        graph = encode_graph(Graph(specs, [*nodes, whole]))
        super().say(SubmitFlow(99, 0, flow, 1_000, False, graph), b"admin")
        self.commit()

    def schedule(self, id_: str, queue: str) -> None:
        super().say(CreateSchedule(99, id_, fields(queue)), b"admin")
        self.commit()

    def finish(self, seq: int, data: bytes = b"v") -> None:
        """The task has its outcome, and so has what that ends."""
        self.queues.apply(Assign(b"w", [seq]))
        token = max(run.token for run in self.machine.running())
        effects = self.queues.effects(Finish([(token, data)])) + self.queues.effects(Tick())
        for effect in effects:
            if isinstance(effect, Settled):
                self.results.settled(effect)

    def say(self, request: Frame, me: bytes = ME) -> None:
        self.processor.request(me, request, len(to_broker.encode(request)), MAIL)


def fields(queue: str) -> bytes:
    return encode_fields(
        Fields(spec=encode_spec(Spec("job", queue)), payload=b"\x92\x90\x80", cron="@daily")
    )


def unknown(task: str) -> Result:
    return Result(task, State.UNKNOWN, b"")


def test_a_task_of_a_queue_that_was_deleted_is_unknown() -> None:
    """Nobody knows any more whose it was; the session goes on."""
    one = Confined()
    one.finish(1)
    one.queues.apply(Delete("mail.in"))
    assert one.told(Ask(1, ["mine"])) == [Answer(1, [unknown("mine")])]
    assert one.ask(Watch(2, ["mine"])) == [Results([unknown("mine")]), Watched(2)]
    one.barrier()
    (refused,) = one.ask(ShowTask(3, "mine"))
    assert isinstance(refused, Refused)
    assert refused.code is Code.UNKNOWN_TASK


def test_a_flow_with_a_task_of_a_queue_that_was_deleted_is_unknown() -> None:
    one = Confined()
    one.submit("flow", "mail.in", "mail.out")
    assert one.told(Ask(1, ["flow"])) != [Answer(1, [unknown("flow")])]
    for task in ("mail.in", "mail.out"):
        for waits in one.queues.machine.waiting(task, 0, 9, 1_000):
            one.finish(waits.seq)
    one.queues.apply(Delete("mail.out"))
    assert one.told(Ask(1, ["flow"])) == [Answer(1, [unknown("flow")])]


def test_where_a_task_stands_is_known_after_its_queue_was_deleted() -> None:
    """Of such a task others wait for the leader looks at it."""
    one = Confined()
    one.finish(1)
    one.queues.apply(Delete("mail.in"))
    assert one.queues.machine.standings(["mine"]) == [Standing(1, State.SUCCEEDED, "")]
    assert one.queues.machine.standing(1) == Standing(1, State.SUCCEEDED, "")


def test_a_state_of_another_queue_is_unknown() -> None:
    one = Confined()
    assert one.told(Ask(1, ["mine", "theirs", "none"])) == [
        Answer(1, [Result("mine", State.QUEUED, b""), unknown("theirs"), unknown("none")])
    ]


def test_an_outcome_of_another_queue_is_unknown_before_and_after_its_end() -> None:
    one = Confined()
    assert one.ask(Watch(1, ["mine", "theirs"])) == [Results([unknown("theirs")]), Watched(1)]
    one.finish(1)
    one.finish(2)
    assert one.sent() == [Results([Result("mine", State.SUCCEEDED, b"v")])]
    assert one.ask(Watch(2, ["theirs", "mine"])) == [
        Results([unknown("theirs")]),
        Watched(2),
        Results([Result("mine", State.SUCCEEDED, b"v")]),
    ]


def test_nor_is_it_told_of_a_task_that_comes_only_after_it_was_asked_for() -> None:
    one = Confined()
    assert one.ask(Watch(1, ["later", "soon"])) == [Watched(1)]
    one.add("later", "other")
    one.add("soon", "mail.in")
    one.finish(3, b"secret")
    one.finish(4, b"v")
    assert one.sent() == [
        Results([unknown("later"), Result("soon", State.SUCCEEDED, b"v")]),
    ]


def test_nor_if_the_outcome_has_to_wait_for_the_connection() -> None:
    room = False
    one = RequestHarness(room=lambda _routing: room)
    one.results.confine(ME, MAIL)
    _, spec, tasks, _ = enqueue("theirs", spec=Spec("job", "other"))
    one.say(Enqueue(99, 0, spec, tasks), b"admin")
    one.commit()
    one.ask(Watch(1, ["theirs"]))
    one.finish(1, b"secret")
    assert one.sent() == []
    room = True
    assert one.sent() == [Results([unknown("theirs")])]


def test_one_task_of_another_queue_is_refused_as_none() -> None:
    one = Confined()
    (refused,) = one.ask(ShowTask(5, "theirs"))
    assert isinstance(refused, Refused)
    assert refused.code is Code.UNKNOWN_TASK
    (none,) = one.told(ShowTask(6, "none"))
    assert isinstance(none, Refused)
    assert none.text.replace("none", "theirs") == refused.text


def test_a_session_that_is_gone_leaves_nothing_behind() -> None:
    one = Confined()
    one.ask(Watch(1, ["mine"]))
    one.processor.gone(ME)
    assert not one.results._confined


def test_a_flow_is_known_if_all_its_tasks_are() -> None:
    one = Confined()
    one.submit("ours", "mail.in", "mail.out")
    one.submit("mixed", "mail.in", "other")
    (answer,) = one.told(Ask(1, ["ours", "mixed", "ours/1", "mixed/2"]))
    assert isinstance(answer, Answer)
    ours, mixed, within, between = answer.results
    assert ours.state is State.BLOCKED
    assert within.state is State.QUEUED
    assert [mixed, between] == [unknown("mixed"), unknown("mixed/2")]
    (refused,) = one.ask(ShowFlow(2, "mixed", 0, 10))
    assert isinstance(refused, Refused)
    assert refused.code is Code.UNKNOWN_TASK
    (refused,) = one.ask(SaySignal(3, "mixed", "go", b"\xc0"))
    assert isinstance(refused, Refused)
    assert not isinstance(one.told(ShowFlow(4, "ours", 0, 10))[0], Refused)


def test_the_end_of_a_flow_is_told_if_all_its_tasks_are_known() -> None:
    one = Confined()
    one.submit("ours", "mail.in")
    assert one.ask(Watch(1, ["ours", "later"])) == [Watched(1)]
    one.submit("later", "other")
    for seq in (4, 6):
        one.finish(seq)
    told = [each for frame in one.sent() if isinstance(frame, Results) for each in frame.results]
    assert {(result.id, result.state) for result in told} == {
        ("ours", State.SUCCEEDED),
        ("later", State.UNKNOWN),
    }


@pytest.mark.parametrize("ask", [ShowSchedule(1, "theirs"), DeleteSchedule(1, "theirs")])
def test_a_schedule_for_another_queue_is_none(ask: Frame) -> None:
    one = Confined()
    one.schedule("theirs", "other")
    (refused,) = one.ask(ask)
    assert isinstance(refused, Refused)
    assert refused.code is Code.UNKNOWN_SCHEDULE
    one.schedule("mine", "mail.in")
    assert not isinstance(one.told(NextTicks(2, "mine"))[0], Refused)


def test_nor_is_it_taken_over_by_declaring_another_under_its_id() -> None:
    one = Confined()
    one.schedule("theirs", "other")
    declared = Declared("theirs", fields("mail.in"))
    (refused,) = one.ask(DeclareSchedules(1, "m:app", [declared], apply=True))
    assert isinstance(refused, Refused)
    assert one.done(CreateSchedule(2, "mine", fields("mail.in"))) == [ScheduleStands(2, 1)]
