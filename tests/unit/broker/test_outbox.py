"""What waits for a slow reader is keys; it leaves in order and in bounded parts, and all of it."""

from collections import deque
from typing import NamedTuple

from raftwork.broker.outbox import KEY_BYTES, TURN_BYTES, Outbox

BIG = TURN_BYTES // 4


class Item(NamedTuple):
    key: int
    size: int = 0


def outbox(*items: Item) -> Outbox[int, Item]:
    made: Outbox[int, Item] = Outbox(lambda item: item.key, lambda item: item.size)
    for item in items:
        made.add(item)
    return made


def test_one_turn_takes_a_bounded_part_and_keeps_the_order() -> None:
    box, came = outbox(*(Item(key, BIG) for key in range(20))), []
    while turn := box.take(lambda owed: [Item(owed.popleft(), BIG)]):
        assert sum(item.size for item in turn) <= TURN_BYTES
        came += [item.key for item in turn]
    assert came == list(range(20))


def test_what_is_held_is_read_again_and_what_is_over_is_not_sent() -> None:
    box, asked = outbox(*(Item(key, BIG) for key in range(6))), []  # more than a turn's
    box.hold()
    assert list(box.owed) == list(range(6))

    def read(owed: deque[int]) -> list[Item]:
        asked.append(owed.popleft())
        return [] if asked[-1] == 2 else [Item(asked[-1])]

    assert [item.key for item in box.take(read)] == [0, 1, 3, 4, 5]
    assert asked == list(range(6))
    assert box.take(read) == []


def test_a_turn_in_which_nothing_is_sent_is_bounded_too() -> None:
    box = outbox()
    box.owed.extend(range(100_000))

    def read(owed: deque[int]) -> list[Item]:
        owed.popleft()
        return []

    assert box.take(read) == []
    assert len(box.owed) == 100_000 - TURN_BYTES // KEY_BYTES


def test_what_is_dropped_is_told_by_its_keys_in_order() -> None:
    box = outbox(*(Item(key, BIG) for key in range(6)))
    assert box.clear() == list(range(6))
    assert box.clear() == []
    box.add(Item(7))
    assert box.take(lambda _: []) == [Item(7)]
