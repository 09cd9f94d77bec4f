"""A key that is for some queues: tasks of others are to it as if there were none."""

from raftwork.broker.access.access_list import Grant
from raftwork.features import to_broker
from raftwork.features.enqueue import Enqueue
from raftwork.features.inspect_tasks import ShowTask
from raftwork.features.results import Answer, Ask, Results, Watch, Watched
from raftwork.keys import Role
from raftwork.messages import Code, Refused, Result, Spec, State
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

    def say(self, request: Frame, me: bytes = ME) -> None:
        self.processor.request(me, request, len(to_broker.encode(request)), MAIL)


def unknown(task: str) -> Result:
    return Result(task, State.UNKNOWN, b"")


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
