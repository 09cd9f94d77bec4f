"""Which lane comes next: what is remembered is bounded by what there is to choose from."""

from raftwork.broker.dispatch.lane_order import STALE_MAX, ByPlace, ByTenant


def test_turns_of_tenants_that_always_have_tasks_take_no_memory() -> None:
    in_flight = {"a": 0}
    turns = ByTenant(lambda _lane: 1, in_flight, {})
    turns.add(1, 1, "a")
    for _ in range(10 * STALE_MAX):
        assert turns.first() == (1, 1)
        in_flight["a"] = 1
        turns.took("a")
        in_flight["a"] = 0
        turns.changed("a")
    assert len(turns._heap) <= 2 + STALE_MAX


def test_a_task_that_waits_again_and_again_before_others_takes_no_memory() -> None:
    first = {1: 50}
    places = ByPlace(first.__getitem__)
    for _ in range(10 * STALE_MAX):
        first[1] = 50
        places.add(1, 50)
        assert places.first() == (50, 1)
        first[1] = 100  # it was taken, and is back before the next one is
        assert places.first() == (100, 1)
    assert len(places._heap) <= 2 + STALE_MAX
