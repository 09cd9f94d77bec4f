"""A finding: its name, what it means, and how it is found."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from raftwork.chaos.lives import Life, Record

#: What proves it, as sentences that begin with the task.
Proofs = Iterator[str]


class Finding(NamedTuple):
    """A guarantee that was broken, as a word for it and a clause."""

    name: str
    meaning: str
    find: Callable[[Record], Proofs]


def each(proofs: Callable[[Life], Proofs]) -> Callable[[Record], Proofs]:
    """Of one that is found in the life of a single task."""

    def find(record: Record) -> Proofs:
        for task, life in record.tasks.items():
            for proof in proofs(life):
                yield f"{task}: {proof}"

    return find
