"""Every message and every role: who may send what is said once, and the default is no."""

import pytest

from raftwork.broker.access.rights import RIGHTS, may
from raftwork.features import to_broker
from raftwork.features.catalogue import WORKER_REQUESTS
from raftwork.keys import Role
from raftwork.messages import ToBroker
from raftwork.messages.registry import replies

MESSAGES = [record for record, *_ in to_broker._records.values()]
#: As docs/security.md has it: each role, and what it may send beyond nothing.
WORKER = {"WorkerHello", "Report", "Heartbeat", "Goodbye", "Ping", "KeepCheckpoint", "TellProgress"}
WORKER |= {"DeclareSchedules", "TellLog"}
LOOKS = {"ClientHello", "Ping", "StatusRequest", "Watch", "Ask", "AskProgress", "ShowTask"}
LOOKS |= {"ReadLog", "ShowFlow", "ShowSchedule", "NextTicks"}
ENQUEUES = {"Enqueue", "EnqueueUnique", "CancelTasks", "Reschedule"}
ENQUEUES |= {"SubmitFlow", "AddCallback", "RetryFlow", "SaySignal"}
ENQUEUES |= {"DeclareSchedules", "CreateSchedule", "UpdateSchedule", "PauseSchedule"}
ENQUEUES |= {"TriggerSchedule", "BackfillSchedule", "DeleteSchedule", "PruneSchedules"}
INSPECTS = {"ListDead", "ShowDead", "AskQueue", "AskClusterSettings", "ListTasks"}
INSPECTS |= {"ListSchedules", "AskLimits", "ReadEvents", "ListRunning", "ListEnded"}
INSPECTS |= {"AskPlacement", "AskMarks"}
RULES = {"SetQueue", "PurgeQueue", "PauseQueue", "ResumeQueue", "DeleteQueue", "ResumeKey"}
RULES |= {"FreeKey"}
RULES |= {
    "RetryDead",
    "PurgeDead",
    "DrainWorker",
    "SetClusterSettings",
    "FinishUpgrade",
    "TransferLeadership",
}
RULES |= {
    "NoteAction",
    "SetMark",
    "AskAudit",
    "SetLimit",
    "PauseLimit",
    "ResumeLimit",
    "DeleteLimit",
}
EXPECTED = {
    Role.PEER: {"PeerHello", "StatusRequest"},
    Role.WORKER: WORKER,
    Role.CLIENT: LOOKS | ENQUEUES,
    Role.READER: LOOKS | INSPECTS,
    Role.ADMIN: LOOKS | INSPECTS | ENQUEUES | RULES,
}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda each: each.__name__)
def test_every_message_has_a_row(message: type[ToBroker]) -> None:
    """Without one it is nobody's: say in rights.py who may send it, and what it reaches."""
    assert message in RIGHTS
    assert RIGHTS[message].roles


def test_the_table_has_no_row_too_many() -> None:
    assert set(RIGHTS) == set(MESSAGES)


@pytest.mark.parametrize("role", Role)
def test_each_role_may_send_what_it_is_for_and_nothing_else(role: Role) -> None:
    assert {m.__name__ for m in MESSAGES if may(frozenset({role}), m)} == EXPECTED[role]


def test_a_message_without_a_row_is_nobodys() -> None:
    class Unheard(tuple[object, ...]):
        pass

    assert not any(may(frozenset({role}), Unheard) for role in Role)
    assert not may(frozenset(), MESSAGES[0])


def test_roles_add_up() -> None:
    both = frozenset({Role.WORKER, Role.CLIENT})
    allowed = {message.__name__ for message in MESSAGES if may(both, message)}
    assert allowed == EXPECTED[Role.WORKER] | EXPECTED[Role.CLIENT]


def test_requests_of_a_worker_or_peer_are_no_clients() -> None:
    """What only a client's session can ask is no right of those that have none."""
    for message in set(replies) - WORKER_REQUESTS:
        if message.__name__ == "StatusRequest":
            continue
        assert not may(frozenset({Role.WORKER}), message)
        assert not may(frozenset({Role.PEER}), message)
