"""Numbers that follow each other, as they mostly do: one statement has a whole range of rows."""

from collections.abc import Iterable


def ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """The numbers, in their order, as ranges: (first, last) of each."""
    found: list[tuple[int, int]] = []
    first = last = None
    for number in numbers:
        if last is None or first is None:
            first = number
        elif number != last + 1:
            found.append((first, last))
            first = number
        last = number
    if first is not None and last is not None:
        found.append((first, last))
    return found
