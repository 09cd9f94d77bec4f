"""Code that is interrupted between any two of its bytecodes, as by a signal's handler."""

import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import raftwork.client

T = TypeVar("T")

_CLIENT = str(Path(raftwork.client.__file__).parent)


class Interrupted:
    """Runs `call` in this thread, and `handler` once inside it, before its `at`-th step.

    Steps are those of the client's code, below which the caller may be anywhere.
    """

    def __init__(self, at: int, handler: Callable[[], object]) -> None:
        self.reached = False
        self._left = at
        self._handler = handler

    def run(self, call: Callable[[], T]) -> T:
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            return call()
        finally:
            sys.settrace(before)

    def _enter(self, frame: FrameType, event: str, arg: object) -> Any:
        code = frame.f_code
        # What is raised in a finalizer is nobody's: Python prints it.
        ours = code.co_filename.startswith(_CLIENT) and code.co_name != "__del__"
        if self.reached or not ours:
            return None
        frame.f_trace_opcodes = True
        return self._step

    def _step(self, frame: FrameType, event: str, arg: object) -> Any:
        # Some versions tell of opcodes only here and there, of lines always.
        if event in ("line", "opcode") and not self.reached:
            self._left -= 1
            if self._left < 0:
                self.reached = True
                sys.settrace(None)
                self._handler()
        return self._step


def everywhere(handler: Callable[[], object], step: int = 1) -> Iterator[Interrupted]:
    """An Interrupted for each place, up to the one that the call does not reach."""
    for at in count(0, step):
        interrupted = Interrupted(at, handler)
        yield interrupted
        if not interrupted.reached:
            assert at > 20, "nothing of the client was traced"
            return
