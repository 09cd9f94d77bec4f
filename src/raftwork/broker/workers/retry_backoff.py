"""When a task that failed is tried again. Sans-IO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftwork.broker.machine.commands import TIME_MAX
from raftwork.messages import decode_spec

if TYPE_CHECKING:
    from random import Random

    from raftwork.broker.machine import Running


def retry_at(running: Running | None, time: int, rng: Random) -> int:
    """Exponential backoff, never less than asked for and never more than its bound.

    Up to a quarter of jitter is added, so that tasks that failed together part. Leader time, ms.
    """
    if running is None:
        return time
    spec = decode_spec(running.spec)
    asked = spec.backoff << min(running.failures, 32)
    delay = min(asked + rng.randrange(asked // 4 + 1), spec.max_backoff)
    return min(time + delay, TIME_MAX)
