"""What admins did is written down, under their key, with what came of it; and nothing else is."""

import pytest

from raftwork.broker.access.access_list import Grant
from raftwork.broker.machine.commands import Command
from raftwork.features import audit, to_broker
from raftwork.features.audit import (
    ROWS_MAX,
    TEXT_MAX,
    ActionNoted,
    AskAudit,
    AuditTold,
    NoteAction,
    NoteAudit,
    in_words,
)
from raftwork.features.cancel import CancelTasks, Scope
from raftwork.features.drain import DrainWorker
from raftwork.features.pause_queue import PauseQueue
from raftwork.features.purge_queue import PurgeQueue
from raftwork.features.queue_settings import AskQueue, SetQueue, changes
from raftwork.keys import Role
from raftwork.messages.registry import Frame
from tests.unit.broker.queues import Queues
from tests.unit.broker.request_harness import ME, RequestHarness

OPS = Grant("ops", frozenset({Role.ADMIN}))


def say(one: RequestHarness, request: Frame, grant: Grant | None = OPS) -> list[Command]:
    """Have it carried out; what it writes down."""
    one.processor.request(ME, request, len(to_broker.encode(request)), grant)
    one.commit()
    one.view.all_heard = True
    one.next_turn()
    one.sent()
    return list(one.processor.audit())


def test_what_an_admin_did_is_written_down_with_its_fate() -> None:
    one = RequestHarness()
    (note,) = say(one, SetQueue(1, "mail", changes(max_length=5)))
    assert note == NoteAudit(
        "ops", f"SetQueue queue='mail' changes={len(changes(max_length=5))} bytes", "done"
    )
    (again,) = say(one, SetQueue(2, "mail", changes(max_length=5)))
    assert again == note
    (refused,) = say(one, DrainWorker(3, "nobody"))
    assert isinstance(refused, NoteAudit)
    assert refused.what == "DrainWorker name='nobody'"
    assert "nobody" in refused.outcome
    (malformed,) = say(one, PauseQueue(4, "", 0))
    assert isinstance(malformed, NoteAudit)
    assert "queue must have" in malformed.outcome


@pytest.mark.parametrize("scope", Scope)
def test_a_cancel_of_more_than_what_it_names_is_written_down(scope: Scope) -> None:
    one = RequestHarness()
    name = "" if scope in {Scope.IDS, Scope.ALL} else "x"
    asked = CancelTasks(1, scope, ["a"] * (scope is Scope.IDS), name, "v" * (scope is Scope.TAG), 0)
    notes = say(one, asked)
    if scope in {Scope.IDS, Scope.FLOW}:
        assert notes == []
    else:
        (note,) = notes
        assert isinstance(note, NoteAudit)
        assert (note.who, note.outcome) == ("ops", "done")
        assert note.what.startswith(f"CancelTasks scope={scope.name.lower()} ")


def test_reads_and_what_comes_without_keys_are_not() -> None:
    one = RequestHarness()
    assert say(one, AskQueue(1, "mail")) == []
    assert say(one, PurgeQueue(2, "mail"), None) == []


def test_what_a_dashboards_user_did_is_written_down_also_without_keys() -> None:
    one = RequestHarness()
    assert one.done(NoteAction(1, "zoe", "dashboard: queues pause", "done")) == [ActionNoted(1)]
    (told,) = one.told(AskAudit(1, 0, 2))
    assert isinstance(told, AuditTold)
    (row,) = told.rows
    assert (row.who, row.what, row.outcome) == ("zoe", "dashboard: queues pause", "done")


def test_with_keys_it_is_one_row_that_names_the_dashboards_key_too() -> None:
    one = RequestHarness()
    assert say(one, NoteAction(1, "zoe", "dashboard: queues pause", "done")) == []
    (told,) = one.told(AskAudit(1, 0, 2))
    assert isinstance(told, AuditTold)
    assert [row.who for row in told.rows] == ["zoe (key ops)"]
    (malformed,) = say(one, NoteAction(2, "", "x", "done"))
    assert isinstance(malformed, NoteAudit)
    assert malformed.who == "ops"


def test_the_newest_rows_are_kept_and_told_newest_first() -> None:
    one = RequestHarness()
    one.queues.apply(*(NoteAudit("ops", f"what {n}", "done") for n in range(ROWS_MAX + 5)))
    (told,) = one.told(AskAudit(1, 0, 2))
    assert isinstance(told, AuditTold)
    assert [(row.who, row.what, row.outcome) for row in told.rows] == [
        ("ops", f"what {ROWS_MAX + 4}", "done"),
        ("ops", f"what {ROWS_MAX + 3}", "done"),
    ]
    assert told.rows[0].time == one.queues.time
    (before,) = one.told(AskAudit(2, told.rows[-1].number, 1))
    assert isinstance(before, AuditTold)
    assert before.rows[0].what == f"what {ROWS_MAX + 2}"
    ((kept,),) = one.queues.db.execute("SELECT count(*) FROM audit")
    assert kept == ROWS_MAX


def test_what_dashboards_say_pushes_out_nothing_that_was_done_under_a_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor does one user, or key, push out what another did."""
    monkeypatch.setattr(audit, "ROWS_MAX", 10)
    one = RequestHarness()
    one.queues.apply(NoteAudit("ops", "PurgeQueue", "done"), NoteAudit("zoe", "SetQueue", "done"))
    say(one, NoteAction(1, "root", "dashboard: dead purge", "done"))
    for n in range(2, 50):
        say(one, NoteAction(n, "mallory", f"dashboard: {n}", "done"))
    one.queues.apply(*(NoteAudit("zoe", f"SetQueue {n}", "done") for n in range(50)))
    (told,) = one.told(AskAudit(1, 0, 100))
    assert isinstance(told, AuditTold)
    assert [(row.who, row.what) for row in told.rows] == [
        *(("zoe", f"SetQueue {n}") for n in range(49, 40, -1)),
        *(("mallory (key ops)", f"dashboard: {n}") for n in range(49, 40, -1)),
        ("root (key ops)", "dashboard: dead purge"),
        ("ops", "PurgeQueue"),
    ]


def test_whoever_makes_up_names_pushes_out_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "ROWS_MAX", 10)
    one = RequestHarness()
    one.queues.apply(NoteAudit("ops", "PurgeQueue", "done"))
    for n in range(30):
        say(one, NoteAction(n, f"nobody-{n}", "dashboard: x", "done"))
    (told,) = one.told(AskAudit(1, 0, 100))
    assert isinstance(told, AuditTold)
    made_up = [f"nobody-{n} (key ops)" for n in range(29, 19, -1)]
    assert [row.who for row in told.rows] == [*made_up, "ops"]


def test_texts_are_bounded_and_contents_are_none_of_it() -> None:
    assert in_words(SetQueue(1, "q", b"secret")) == "SetQueue queue='q' changes=6 bytes"
    assert len(in_words(PurgeQueue(1, "q" * 10_000))) == TEXT_MAX


def test_below_level_two_nothing_is_written() -> None:
    one = RequestHarness(queues=Queues(level=1))
    assert say(one, SetQueue(1, "mail", changes(max_length=5))) == []
    (told,) = one.told(AskAudit(1, 0, 2))
    assert told == AuditTold(1, [])
