"""How much a worker holds ahead: so much work, so many tasks, so many bytes."""

from raftwork.worker.prefetch import HELD_BYTES, LONG_MS, WINDOW_MAX, PrefetchWindow


def window(*, elapsed: float, payload: int = 0) -> PrefetchWindow:
    """After many tasks that took so many ms and bytes."""
    one = PrefetchWindow()
    for _ in range(100):
        one.came([payload])
        one.ended(elapsed)
    return one


def test_short_tasks_are_held_in_numbers_long_ones_not_at_all() -> None:
    assert window(elapsed=0.001).size(2) == WINDOW_MAX
    assert window(elapsed=10.0).size(2) == 20
    assert window(elapsed=LONG_MS).size(2) == 0


def test_large_tasks_are_held_by_their_bytes() -> None:
    mib = 1024 * 1024
    assert window(elapsed=0.001, payload=mib).size(2) == HELD_BYTES // mib
    assert window(elapsed=0.001, payload=100).size(2) == WINDOW_MAX


def test_who_is_pushed_large_tasks_takes_few_before_any_has_run() -> None:
    one = PrefetchWindow()
    one.came([HELD_BYTES // 10] * 100)
    assert one.most == 10


def test_what_was_little_is_too_much_once_tasks_are_longer() -> None:
    one = window(elapsed=0.01)
    assert not one.overfull(WINDOW_MAX, slots=1)
    one.ended(5.0)
    assert not one.overfull(WINDOW_MAX, slots=1), "one task may have been held up"
    for _ in range(3):
        one.ended(15.0)
    assert one.overfull(WINDOW_MAX, slots=1)
