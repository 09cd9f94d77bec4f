"""The thread that asks the brokers: what ends one question, and what does not end the asking."""

import threading
from dataclasses import replace
from pathlib import Path

from raftwork.broker.access.access_list import Grant
from raftwork.broker.access.edit_access import allowed
from raftwork.client.cluster_status import Answers
from raftwork.keys import Key, Role, handed_key, new_key, read_key, replace_key, write_key
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


def test_keys_that_are_replaced_are_what_it_asks_with(tmp_path: Path) -> None:
    asked: list[Key] = []

    def ask(brokers: list[str], *_: object, key: Key, reached: bool, **__: object) -> Answers:
        asked.append(key)
        assert reached is (len(brokers) == 1), "a key of its own is known where its broker is"
        return Answers()

    a, new = new_key("a", [Role.PEER]), new_key("a", [Role.PEER])
    access, own = tmp_path / "access.toml", handed_key("a:http", new_key("x", [Role.READER]).secret)
    access.write_text(text := allowed("", "", Grant("a", a.roles), a.public))
    watch = Watch(["127.0.0.1:1", "127.0.0.1:2"], "a", key=own, access=str(access), ask=ask)
    watch.look()
    access.write_text(allowed(text, "", Grant("a", new.roles), new.public))
    watch.look()
    access.write_text("nonsense")
    watch.look()
    assert {key.secret for key in asked} == {own.secret}
    assert [key.brokers["a"] for key in asked] == [(a.public,), *[(a.public, new.public)] * 2]

    asked.clear()
    file = str(tmp_path / "ops.key")
    write_key(new_key("ops", [Role.READER]), file)
    watch = Watch(["127.0.0.1:1", "127.0.0.1:2"], key=read_key(file), ask=ask)
    watch.look()
    replace_key(replacement := replace(new_key("ops", [Role.READER]), file=file), file)
    watch.look()
    (tmp_path / "ops.key").unlink()
    watch.look()
    assert asked[0].public != asked[1].public == asked[2].public == replacement.public
