"""Standard streams: what is missing becomes the null device, what is odd is let be."""

import os
import subprocess
import sys

import pytest

from raftwork import standard_streams


class Mute:
    """What some take for a stream."""

    def write(self, text: str) -> None:
        pass


class Exiting(Mute):
    def flush(self) -> None:
        raise SystemExit("flush")


@pytest.mark.parametrize("stream", [None, Mute(), Exiting()])
def test_whatever_stands_for_a_stream_is_flushed_without_an_error(
    stream: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    standard_streams.flush()
    assert sys.stdout is stream
    standard_streams.let_go()
    assert sys.stdout is None and sys.stderr is None


def test_missing_streams_become_the_null_device_and_their_numbers_stay_taken() -> None:
    code = (
        "import os, sys; from raftwork.standard_streams import fill; fill(); fill()\n"
        "print('x'); print('x', file=sys.stderr); sys.stdin.read()\n"
        "assert os.open('/', os.O_RDONLY) > 2\n"
        "os._exit(7 if all(os.readlink(f'/proc/self/fd/{n}') == os.devnull for n in (0, 1, 2))"
        " else 8)"
    )
    command = f'exec {sys.executable} -c "$0" <&- >&- 2>&-'
    assert subprocess.run(["bash", "-c", command, code], check=False).returncode == 7


def test_open_streams_are_left_alone() -> None:
    before = (sys.stdin, sys.stdout, sys.stderr, os.fstat(1))
    standard_streams.fill()
    assert (sys.stdin, sys.stdout, sys.stderr, os.fstat(1)) == before
