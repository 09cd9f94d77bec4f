"""What a frame's sender is refused, by its key."""

import pytest

from raftwork.broker.access.access_list import Grant
from raftwork.broker.access.gate import objection, refusal, within_queues
from raftwork.broker.access.rights import RIGHTS, may
from raftwork.features.cancel import CancelTasks, Scope
from raftwork.features.dead_letters import ListDead, PurgeDead
from raftwork.features.drain import DrainWorker
from raftwork.features.enqueue import Enqueue
from raftwork.features.flow_callbacks import AddCallback
from raftwork.features.flow_graph import Graph, Node, encode_graph
from raftwork.features.flows import SubmitFlow
from raftwork.features.limits import SetLimit
from raftwork.features.pause_queue import PauseQueue
from raftwork.features.results import Watch
from raftwork.features.schedule_plan import Fields, encode_fields
from raftwork.features.schedule_records import (
    CreateSchedule,
    Declared,
    DeclareSchedules,
    PauseSchedule,
    PruneSchedules,
    UpdateSchedule,
)
from raftwork.features.upgrade import FinishUpgrade
from raftwork.keys import Role
from raftwork.messages import (
    PROTOCOL,
    ClientHello,
    Code,
    Outcome,
    PeerHello,
    Refused,
    Report,
    Spec,
    ToBroker,
    WorkerHello,
    decode_failure,
    encode_failure,
    encode_spec,
)
from raftwork.messages.failures import Grown
from raftwork.wire import pack

ADMIN = Grant("ops", frozenset({Role.ADMIN}))
MAIL = Grant("mail", frozenset({Role.ADMIN, Role.WORKER}), ("mail.*", "bulk"))


def enqueue(queue: str, tasks: int = 1) -> Enqueue:
    packed = pack([["id", b""] for _ in range(tasks)])
    return Enqueue(7, 0, encode_spec(Spec("t", queue)), packed)


def graph(*queues: str) -> bytes:
    """A task into each of these queues."""
    specs = [encode_spec(Spec("t", queue)) for queue in queues]
    nodes = [Node(at, b"\x92\x90\x80", [], f"id{at}") for at in range(1, len(queues) + 1)]
    return encode_graph(Graph(specs, [*nodes, Node(0, b"\xc0", [])]))


def flow(*queues: str) -> SubmitFlow:
    return SubmitFlow(7, 0, "f", 1, False, graph(*queues))


def fields(queue: str) -> bytes:
    return encode_fields(Fields(spec=encode_spec(Spec("t", queue)), cron="@daily"))


def declare(*queues: str) -> DeclareSchedules:
    return DeclareSchedules(7, "m:app", [Declared(f"s {queue}", fields(queue)) for queue in queues])


def worker(*queues: str) -> WorkerHello:
    return WorkerHello(PROTOCOL, "w", b"i" * 16, 1, "h", 1, 1, list(queues), [], draining=False)


def peer(name: str) -> PeerHello:
    return PeerHello(PROTOCOL, "raft", name, b"i" * 16, b"", 0)


def test_a_refusal_says_what_the_key_has_and_what_it_takes() -> None:
    reader = Grant("ada", frozenset({Role.READER}))
    refused = refusal(reader, enqueue("q"))
    assert refused == Refused(
        7,
        Code.PERMISSION_DENIED,
        "the key ada has the role reader, and Enqueue takes admin or client",
    )
    hello = refusal(MAIL, peer("a"))
    assert hello is not None
    assert hello.request == 0


def test_a_brokers_key_is_that_brokers() -> None:
    b = Grant("b", frozenset({Role.PEER}))
    assert objection(b, peer("b")) is None
    assert objection(b, peer("a")) is not None


@pytest.mark.parametrize("role", Role)
def test_each_role_is_told_of_each_message_that_it_may_not_send(role: Role) -> None:
    """Before anything of the message is read."""
    grant = Grant("k", frozenset({role}))
    refused = [kind for kind in RIGHTS if not may(grant.roles, kind)]
    assert refused
    for kind in refused:
        takes = " or ".join(sorted(RIGHTS[kind].roles))
        assert objection(grant, tuple.__new__(kind, ())) == (
            f"the key k has the role {role}, and {kind.__name__} takes {takes}"
        )


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (enqueue("other"), "'other'"),
        (worker("mail.in", "other"), "'other'"),
        (PauseQueue(1, "mail", 0), "'mail'"),
        (ListDead(1, "", 0, 10), "all of them"),
        (PurgeDead(1, [], ""), "all of them"),
        (PurgeDead(1, [], "other"), "'other'"),
        (CancelTasks(1, Scope.QUEUE, [], "other", "", 0), "'other'"),
        (CancelTasks(1, Scope.ALL, [], "", "", 0), "all of them"),
        (CancelTasks(1, Scope.NAME, [], "t", "", 0), "all of them"),
        (flow("mail.in", "other"), "'other'"),
        (AddCallback(1, "f", graph("other")), "'other'"),
        (CreateSchedule(1, "s", fields("other")), "'other'"),
        (UpdateSchedule(1, "s", fields("other"), 0), "'other'"),
        (declare("mail.in", "other"), "'other'"),
        (PruneSchedules(1, "m:app", []), "all of them"),
        (SetLimit(1, "stripe", b"\x80"), "all of them"),
        (DrainWorker(1, "w"), "all of them"),
        (FinishUpgrade(1), "all of them"),
    ],
)
def test_a_key_for_some_queues_is_for_no_others(message: ToBroker, named: str) -> None:
    why = objection(MAIL, message)
    assert why is not None
    assert "mail.*, bulk only" in why
    assert named in why
    everywhere = Grant("ops", MAIL.roles)
    assert objection(everywhere, message) is None


@pytest.mark.parametrize(
    "message",
    [
        enqueue("mail.in"),
        enqueue("bulk"),
        worker("mail.in", "bulk"),
        PauseQueue(1, "bulk", 0),
        ListDead(1, "mail.x", 0, 10),
        CancelTasks(1, Scope.QUEUE, [], "bulk", "", 0),
        CancelTasks(1, Scope.FLOW, [], "f", "", 0),
        flow("mail.in", "bulk"),
        AddCallback(1, "f", graph("bulk")),
        declare("mail.in"),
        UpdateSchedule(1, "s", b"", 0),
        PauseSchedule(1, "s", paused=True),
        ClientHello(PROTOCOL),
        Watch(1, ["some id"]),  # looked up by the leader
    ],
)
def test_and_it_is_for_those(message: ToBroker) -> None:
    assert objection(MAIL, message) is None


@pytest.mark.parametrize("scope", Scope)
def test_a_client_cancels_what_it_names_and_only_an_admin_all_that_there_is(scope: Scope) -> None:
    """As it purges no queue: else any program's key ends the work of all others."""
    name = "" if scope in {Scope.IDS, Scope.ALL} else "x"
    asked = CancelTasks(1, scope, ["a"] * (scope is Scope.IDS), name, "", 0)
    for grant in (
        Grant("shop", frozenset({Role.CLIENT})),
        Grant("shop", frozenset({Role.CLIENT, Role.WORKER, Role.READER}), ("x",)),
    ):
        why = objection(grant, asked)
        if scope in {Scope.IDS, Scope.FLOW}:
            assert why is None
        else:
            assert why is not None
            assert f"by {scope.name.lower()}, rather than by ids or flow, takes admin" in why
    assert objection(ADMIN, asked) is None


def test_what_cannot_be_read_is_refused_as_that() -> None:
    for message in (SubmitFlow(7, 0, "f", 1, False, b"\xc1"), CreateSchedule(7, "s", b"\xc1")):
        refused = refusal(MAIL, message)
        assert refused is not None
        assert (refused.request, refused.code) == (7, Code.PROTOCOL)


def grown(token: int, spawned: bytes = b"", replaced: bytes = b"") -> Outcome:
    return Outcome(token, False, encode_failure(Grown(b"\xc0", spawned, replaced)))


def report(*outcomes: Outcome) -> Report:
    return Report(1, [], list(outcomes), [], 1)


def test_a_workers_code_makes_tasks_for_the_queues_of_its_key_alone() -> None:
    fine = [Outcome(1, True, b"\xc0"), grown(2, graph("mail.in"), graph("bulk"))]
    assert within_queues(MAIL, report(*fine)) == report(*fine)
    for beyond in (grown(3, graph("bulk", "other")), grown(3, graph("bulk"), graph("other"))):
        narrowed = within_queues(MAIL, report(*fine, beyond))
        assert isinstance(narrowed, Report)
        first, second, third = narrowed.outcomes
        assert [first, second] == fine
        assert (third.token, third.ok, third.final) == (3, False, True)
        failed = decode_failure(third.data)
        assert failed.type == "PermissionDenied"
        assert "mail.*, bulk only, and not for 'other'" in failed.message
