"""Signals that come before anything could act on them."""

import signal
import threading

from raftwork.cli.signals import put_off_hangup


def test_a_hangup_before_the_broker_can_act_on_it_waits_for_it() -> None:
    heard: list[int] = []
    before = signal.getsignal(signal.SIGHUP)
    put_off_hangup()
    try:
        # To this thread: another one, of an earlier test, would take it, and end the process.
        signal.pthread_kill(threading.get_ident(), signal.SIGHUP)
        signal.signal(signal.SIGHUP, lambda number, _frame: heard.append(number))
        assert heard == []
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        assert heard == [signal.SIGHUP]
    finally:
        signal.signal(signal.SIGHUP, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
