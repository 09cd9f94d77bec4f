"""Numbers that follow each other, as they mostly do: one statement has all their rows."""

from collections.abc import Iterable, Sequence


def is_range(numbers: Sequence[int]) -> bool:
    """Whether there are some, each one more than the one before."""
    return bool(numbers) and list(numbers) == list(range(numbers[0], numbers[-1] + 1))


def spans(numbers: Iterable[int]) -> tuple[list[int], list[tuple[int, int]]]:
    """Those without a neighbour, and the others as (first, last), each in the order given."""
    alone: list[int] = []
    found: list[tuple[int, int]] = []
    first = last = -2
    for number in numbers:
        if number != last + 1:
            _close(first, last, alone, found)
            first = number
        last = number
    _close(first, last, alone, found)
    return alone, found


def _close(first: int, last: int, alone: list[int], found: list[tuple[int, int]]) -> None:
    if first != last:
        found.append((first, last))
    elif first >= 0:
        alone.append(first)
