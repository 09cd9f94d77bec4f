"""The thread that asks the brokers: what ends one question, and what does not end the asking."""

import threading

from raftwork.client.cluster_status import Answers
from raftwork.web.watch import Watch
from tests.unit.web.seen import ADDRESSES, status


def test_a_question_that_fails_in_whatever_way_is_not_the_last() -> None:
    """Else health would say for good that a broker is dead that is well."""
    asked, again = [0], threading.Event()

    def ask(*_: object, **__: object) -> Answers:
        asked[0] += 1
        if asked[0] == 1:
            raise OSError(24, "Too many open files")
        again.set()
        return Answers({at: status(name) for name, at in ADDRESSES})

    watch = Watch([at for _, at in ADDRESSES], "a", ask=ask)
    watch.start()
    try:
        assert again.wait(5)
    finally:
        watch.stop()


def test_what_was_seen_before_is_not_told_as_if_it_were_of_now() -> None:
    answers = [Answers({at: status(name) for name, at in ADDRESSES})]

    def ask(*_: object, **__: object) -> Answers:
        if answers:
            return answers.pop()
        raise MemoryError

    watch = Watch([at for _, at in ADDRESSES], "a", ask=ask)
    leaders = []
    for _ in range(2):
        watch.look()
        leaders.append(watch.seen.overview.leader)
    assert leaders == ["a", None]
    assert watch.seen.failure == "the brokers could not be asked: MemoryError"
