"""What is another than a second ago, in words."""

import pytest

from raftwork.features.event_journal import EventKind
from raftwork.web.stream import changes
from raftwork.web.stream.changes import NEVER, WORDS, Changes, concerned
from tests.unit.web.seen import QUEUES, status, watch


def test_what_is_as_it_was_is_not_said() -> None:
    made, seen = Changes(), watch().seen
    assert made.look(seen, (0.0, 0.0))
    words, counts = made.since(NEVER)
    assert words == list(WORDS)  # whoever comes does not know how old what it has is
    assert not made.look(watch().seen, (0.0, 0.0))
    assert made.since(counts) == ([], counts)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (status("a")._replace(queues=QUEUES[:1]), ["queues"]),
        (status("a")._replace(workers=[]), ["workers"]),
        (status("a")._replace(epoch=4), ["leader", "cluster"]),
        (status("a")._replace(committed=101), ["cluster"]),
        (status("a")._replace(wall=99), []),
    ],
    ids=lambda of: "-".join(of) if isinstance(of, list) else "",
)
def test_what_is_another_is_said_once_to_each(changed: object, words: list[str]) -> None:
    made = Changes()
    made.look(watch().seen, (0.0, 0.0))
    _, counts = made.since(NEVER)
    made.look(watch(a=changed).seen, (0.0, 0.0))  # type: ignore[arg-type]
    said, after = made.since(counts)
    assert said == words
    assert made.since(after)[0] == []


def test_rates_that_fall_to_nothing_are_another() -> None:
    made, seen = Changes(), watch().seen
    made.look(seen, (5.0, 0.0))
    _, counts = made.since(NEVER)
    assert made.look(seen, (0.0, 0.0))
    assert made.since(counts)[0] == ["cluster"]


def test_what_happened_is_said_with_what_is_seen_next() -> None:
    made, seen = Changes(), watch().seen
    made.look(seen, (0.0, 0.0))
    _, counts = made.since(NEVER)
    made.happened([EventKind.FAILED, EventKind.LIMIT_CHANGED])
    assert made.since(counts)[0] == []
    assert made.look(seen, (0.0, 0.0))
    assert made.since(counts)[0] == ["tasks", "failures", "limits"]
    made.happened([4_711])  # a newer release's
    made.look(seen, (0.0, 0.0))
    assert made.since(counts)[0] == list(WORDS)


def test_every_kind_concerns_something() -> None:
    assert {word for kind in EventKind if kind for word in concerned(kind)} <= {*WORDS}
    assert concerned(EventKind.QUEUE_DELETED) == ("queues",)
    assert concerned(EventKind.SETTINGS_CHANGED) == ("cluster",)


def test_a_kind_of_which_nothing_is_said_here_concerns_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(changes, "_CONCERNED_BY_TENS", ())
    assert concerned(EventKind.PAUSED) == WORDS
