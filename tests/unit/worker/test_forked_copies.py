"""A copy of the process ends where a task's code is called, as a script would."""

import os
import sys
import threading
import time
from collections.abc import Callable

import pytest

from raftwork.worker.forked_copies import ends_copies

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def status_of_copy(code: Callable[[], object]) -> int:
    """Run it in a copy that would come back here."""
    pid = 0
    with ends_copies():
        pid = os.fork()
        if pid == 0:
            code()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Nasty(BaseException):
    def __getattribute__(self, name: str) -> object:
        raise SystemExit(name)

    def __str__(self) -> str:
        raise SystemExit("str")


@pytest.mark.parametrize(
    ("kind", "args", "status"),
    [
        (SystemExit, (), 0),
        (SystemExit, (258,), 2),
        (SystemExit, ("text",), 1),
        (KeyboardInterrupt, (), 1),
        (ValueError, ("of the copy",), 1),
        (Nasty, (), 1),
    ],
)
def test_what_a_copy_raises_is_its_status(
    kind: type[BaseException], args: tuple[object, ...], status: int
) -> None:
    def code() -> None:
        raise kind(*args)

    assert status_of_copy(code) == status


def test_its_output_is_flushed_and_its_threads_are_waited_for(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def late() -> None:
        time.sleep(0.05)
        sys.stdout.write("late")

    def code() -> None:
        sys.stdout.write("early ")
        threading.Thread(target=late).start()

    with capfd.disabled():
        sys.stdout.flush()
    assert status_of_copy(code) == 0
    assert capfd.readouterr().out == "early late"


def test_the_process_itself_goes_on() -> None:
    with pytest.raises(SystemExit), ends_copies():
        sys.exit(3)
