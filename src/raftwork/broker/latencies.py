"""Counts how long something takes. It is called in every turn: a few additions, no search."""

from __future__ import annotations

from raftwork.messages.facts import LATENCY_BOUNDS_US, Latencies

_FIRST_US = LATENCY_BOUNDS_US[0]
_LAST = len(LATENCY_BOUNDS_US)
#: A number of microseconds has fewer bits.
_BITS = 64


class LatencyCounter:
    """By the buckets of LATENCY_BOUNDS_US."""

    def __init__(self) -> None:
        self._counts = [0] * _BITS
        self._sum_us = 0

    def add(self, took_us: int, count: int = 1) -> None:
        """It took so many microseconds, so many times."""
        # Bounds double: how many bits the multiple of the first one has is the bucket's number.
        bucket = ((took_us - 1) // _FIRST_US).bit_length() if took_us > 0 else 0
        self._counts[bucket] += count
        self._sum_us += took_us * count

    def told(self) -> Latencies:
        """The counts so far."""
        within, above = self._counts[:_LAST], self._counts[_LAST:]
        return Latencies([*within, sum(above)], self._sum_us)
