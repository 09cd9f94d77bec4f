"""When a task that failed is tried again. Sans-IO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftwork.broker.machine.commands import TIME_MAX
from raftwork.messages import Backoff, decode_spec

if TYPE_CHECKING:
    from random import Random

    from raftwork.broker.machine import Running
    from raftwork.messages import Spec


def retry_at(running: Running | None, time: int, rng: Random, after: int | None = None) -> int:
    """After the pause that its code asked for, `after`, or else that of its options.

    That one is never less than `backoff` and never more than `max_backoff`. Up to a quarter of
    jitter is added to it, so that tasks that failed together part. Leader time, ms.
    """
    if running is None:
        return time
    if after is not None:
        return min(time + after, TIME_MAX)
    spec = decode_spec(running.spec)
    asked = _asked(spec, running.failures)
    delay = min(asked + rng.randrange(asked // 4 + 1), spec.max_backoff)
    return min(time + delay, TIME_MAX)


def _asked(spec: Spec, failures: int) -> int:
    match spec.backoff_kind:
        case Backoff.CONSTANT:
            return spec.backoff
        case Backoff.LINEAR:
            return spec.backoff * (failures + 1)
        case Backoff.EXPONENTIAL:
            return spec.backoff << min(failures, 32)
