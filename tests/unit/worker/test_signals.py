"""Signals to a worker, and what its tasks' children have of them."""

import os
import signal

import pytest

from raftwork.worker.signals import STOPS, obeyed, take_back

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def test_stops_are_obeyed_however_they_were_found_and_given_back() -> None:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in STOPS}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    seen: list[str] = []
    try:
        with obeyed(lambda: seen.append("told")):
            for number in STOPS:
                signal.raise_signal(number)
        assert seen == ["told", "told"]
        assert [signal.getsignal(number) for number in STOPS] == [signal.SIG_IGN] * 2
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)


def _status_of_child_that_is_sent(number: int) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            os._exit(70)
        os._exit(71)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_child_obeys_them_as_a_fresh_process_does() -> None:
    with obeyed(lambda: None):
        assert _status_of_child_that_is_sent(signal.SIGTERM) == -signal.SIGTERM
        assert _status_of_child_that_is_sent(signal.SIGINT) == 70


def test_a_handler_that_the_program_has_put_in_their_place_is_left_to_it() -> None:
    with obeyed(lambda: None):
        ours = signal.signal(signal.SIGTERM, lambda *_: os._exit(72))
        assert _status_of_child_that_is_sent(signal.SIGTERM) == 72
        signal.signal(signal.SIGTERM, ours)


@pytest.mark.parametrize("left", [signal.SIG_DFL, signal.SIG_IGN, lambda *_: None])
def test_what_a_task_leaves_in_their_place_is_undone(left: "signal._HANDLER") -> None:
    before = [signal.getsignal(number) for number in STOPS]
    seen: list[str] = []
    with obeyed(lambda: seen.append("told")):
        for number in STOPS:
            signal.signal(number, left)
        take_back()
        for number in STOPS:
            signal.raise_signal(number)
    assert seen == ["told", "told"]
    take_back()  # nothing is ours any more
    assert [signal.getsignal(number) for number in STOPS] == before
