"""Cutting what has gathered into pieces of bounded size."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def split_by_size(items: list[T], size_of: Callable[[T], int], limit: int) -> Sequence[list[T]]:
    """Cut so that a part holds at most `limit` bytes, or one item."""
    if len(items) == 1:
        return (items,)
    return list(_parts(items, size_of, limit))


def _parts(items: list[T], size_of: Callable[[T], int], limit: int) -> Iterator[list[T]]:
    start = size = 0
    for i, item in enumerate(items):
        grown = size_of(item)
        size += grown
        if size > limit and i > start:
            yield items[start:i]
            start, size = i, grown
    if start < len(items):
        yield items[start:]
