"""A queue's ordinary tasks are taken in the order of their numbers, however they came."""

from bisect import insort
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from raftwork.broker.dispatch.backlog import Backlog
from raftwork.broker.machine import Machine, Waiting
from raftwork.features.effects import Queued
from raftwork.messages import Spec, encode_spec

SPEC = encode_spec(Spec("t", "q"))


class Table:
    """What waits, as far as a Backlog asks a Machine."""

    def __init__(self, count: int) -> None:
        self.seqs = list(range(1, count + 1))
        self.last = count

    def waiting(self, _queue: str, after: int, _limit: int, _size: int) -> list[Waiting]:
        return [task(seq) for seq in self.seqs if seq > after][:3]

    def waiting_by(self, seqs: list[int]) -> list[Waiting]:
        return [task(seq) for seq in self.seqs if seq in seqs]


def task(seq: int) -> Waiting:
    return Waiting(seq, str(seq), SPEC, b"p", 1, 0)


@given(
    st.integers(0, 7),
    st.lists(
        st.one_of(
            st.tuples(st.just("come"), st.integers(1, 4)),
            st.tuples(st.just("again"), st.integers(0, 20)),
            st.tuples(st.just("take"), st.integers(0, 6)),
        ),
        max_size=30,
    ),
)
def test_the_least_numbers_are_taken_whatever_came_again(
    there: int, steps: list[tuple[str, int]]
) -> None:
    table = Table(there)
    backlog = Backlog("q", cast("Machine", table), more=True)
    out: list[int] = []
    for what, number in steps:
        if what == "come":
            new = range(table.last + 1, table.last + 1 + number)
            table.last += number
            table.seqs += new
            backlog.queued(Queued("q", SPEC, new[0], [(str(seq), b"p") for seq in new]))
        elif what == "again" and out:
            seq = out.pop(number % len(out))
            insort(table.seqs, seq)
            backlog.requeued(seq)
        elif what == "take":
            taken = [each.seq for each in backlog.take(number, 1_000, safe=False)]
            assert taken == table.seqs[:number]
            del table.seqs[:number]
            out += taken
