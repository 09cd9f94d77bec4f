"""Imports without the collector of cycles."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Around imports of what a command runs: all that they make stays.

    To look for cycles among it, again and again as it grows, takes a fifth of the time until a
    broker listens.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
