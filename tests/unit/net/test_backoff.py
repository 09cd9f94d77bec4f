"""What failed is tried again after pauses that grow, up to a bound."""

from raftwork.net import backoff
from raftwork.net.backoff import Pause, Pauses


def test_a_pause_doubles_up_to_its_bound_and_begins_anew_after_a_success() -> None:
    pause = Pause(100, 350)
    assert not pause.lasts(0)
    assert [pause.failed(1_000) for _ in range(4)] == [100, 200, 350, 350]
    assert pause.lasts(1_349)
    assert not pause.lasts(1_350)
    pause.succeeded()
    assert not pause.lasts(0)
    assert pause.failed(5_000) == 100


def test_each_key_has_its_own_and_is_forgotten_once_it_did_not_fail_for_long() -> None:
    kept = Pauses[str](100, 1_000)
    assert [kept.failed("a", 0), kept.failed("a", 100), kept.failed("b", 100)] == [100, 200, 100]
    assert kept.lasts("a", 299)
    assert not kept.lasts("a", 300)
    assert not kept.lasts("c", 0)
    assert kept.failed("a", 300 + 999) == 400
    assert kept.failed("a", 300 + 999 + 400 + 1_000) == 100


def test_only_so_many_keys_are_kept() -> None:
    kept = Pauses[int](100, 1_000)
    for key in range(backoff.KEYS_MAX + 1):
        kept.failed(key, 0)
    assert not kept.lasts(0, 50)
    assert kept.lasts(1, 50)
