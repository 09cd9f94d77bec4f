"""The loop around a worker's agent."""

import pytest

from raftwork.worker import main
from raftwork.worker.agent import Identity
from raftwork.worker.main import Worker
from tests.unit.worker.idle_pool import IdlePool


def test_counts_of_folded_lines_are_written_although_nothing_else_is_logged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They came with the next line, which may be hours later."""
    passed: list[int] = []
    monkeypatch.setattr(main, "pass_time", lambda: passed.append(1), raising=False)
    worker = Worker(Identity("w", b"w" * 16, "h", 1, ("default",)), ["127.0.0.1:1"], IdlePool())
    worker.interrupt()
    worker.run()
    assert passed
