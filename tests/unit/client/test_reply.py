"""Replies that many threads wait for at the same time."""

import threading
import time
from contextlib import suppress

import pytest

from raftwork.client import reply as replies
from raftwork.client.reply import Reply, tell_all

THREADS = 40


@pytest.fixture(autouse=True)
def no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not woken would find out by itself after a while: not here."""
    monkeypatch.setattr(replies, "_TURN_S", 600.0)


class Waiter(threading.Thread):
    def __init__(self, timeout: float | None = None) -> None:
        super().__init__(daemon=True)
        self.reply = Reply[int]()
        self.got: int | None = None
        self._timeout = timeout
        self.start()

    def run(self) -> None:
        with suppress(TimeoutError):
            self.got = self.reply.result(self._timeout)


def asleep(waiters: list[Waiter]) -> None:
    deadline = time.monotonic() + 20
    while not all(waiter.reply._sleeps for waiter in waiters):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def all_go_on(waiters: list[Waiter]) -> bool:
    deadline = time.monotonic() + 20
    for waiter in waiters:
        waiter.join(max(0.0, deadline - time.monotonic()))
    return not any(waiter.is_alive() for waiter in waiters)


def test_threads_that_are_told_together_all_go_on() -> None:
    waiters = [Waiter() for _ in range(THREADS)]
    asleep(waiters)
    tell_all([(waiter.reply, at, None) for at, waiter in enumerate(waiters)])
    assert all_go_on(waiters)
    assert [waiter.got for waiter in waiters] == list(range(THREADS))


def test_who_gives_up_as_it_is_told_keeps_nobody_behind_it() -> None:
    for at in range(25):
        late = [Waiter() for _ in range(THREADS)]
        asleep(late)
        hasty = [Waiter(at / 1_000) for _ in range(THREADS)]  # some of them before, some after
        told = [waiter for pair in zip(hasty, late, strict=True) for waiter in pair]
        tell_all([(waiter.reply, at, None) for waiter in told])
        assert all_go_on(told)
        assert {waiter.got for waiter in late} == {at}


def test_nobody_is_woken_behind_one_who_has_not_begun_to_wait() -> None:
    idle = [Reply[int]() for _ in range(THREADS)]
    waiters = [Waiter() for _ in range(THREADS)]
    asleep(waiters)
    tell_all([(reply, 7, None) for reply in (*idle, *(waiter.reply for waiter in waiters))])
    assert all_go_on(waiters)
    assert [reply.result() for reply in idle] == [7] * THREADS


class Leaving(Reply[int]):
    """Its caller gives up once it is seen to wait, and before it can see who is behind it."""

    looked = False

    @property
    def _sleeps(self) -> bool:
        before, self.looked = self.looked, True
        return not before

    @_sleeps.setter
    def _sleeps(self, sleeps: bool) -> None: ...


def test_who_has_just_given_up_is_passed_over() -> None:
    leaving = [Leaving() for _ in range(THREADS)]
    waiters = [Waiter() for _ in range(THREADS)]
    asleep(waiters)
    tell_all([(reply, 7, None) for reply in (*leaving, *(waiter.reply for waiter in waiters))])
    assert all_go_on(waiters)
