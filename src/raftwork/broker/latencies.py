"""Counts how long something takes. It is called in every turn: a few additions, no search."""

from __future__ import annotations

from raftwork.messages.facts import LATENCY_BOUNDS_US, Latencies

_FIRST_US = LATENCY_BOUNDS_US[0]


class LatencyCounter:
    """By the buckets of LATENCY_BOUNDS_US."""

    def __init__(self) -> None:
        self._counts = [0] * (len(LATENCY_BOUNDS_US) + 1)
        self._sum_us = 0

    def add(self, took_us: int) -> None:
        """It took so many microseconds, once."""
        # Bounds double: how many bits the multiple of the first one has is the bucket's number.
        bucket = (max(took_us - 1, 0) // _FIRST_US).bit_length()
        self._counts[min(bucket, len(LATENCY_BOUNDS_US))] += 1
        self._sum_us += took_us

    def told(self) -> Latencies:
        """The counts so far."""
        return Latencies(list(self._counts), self._sum_us)
