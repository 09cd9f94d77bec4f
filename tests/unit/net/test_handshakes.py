"""What failed handshakes mean, and which broker's key is tried next."""

from raftwork.keys import Key, Role, encoded, new_key
from raftwork.net.handshakes import FAILURES_TOLD, SUDDEN_MS, Failure, Handshakes

BROKERS = {name: (encoded(name.encode() * 32),) for name in "abcd"}


def key(brokers: dict[str, tuple[str, ...]] | None = None) -> Key:
    return new_key("ada", [Role.CLIENT], brokers=BROKERS if brokers is None else brokers)


def closed(handshakes: Handshakes, now: int = 0) -> bool:
    handshakes.connected(now)
    return handshakes.failed(Failure.CLOSED, now + 5)


def test_each_brokers_key_is_tried_once_at_once_from_the_likely_one_on() -> None:
    handshakes = Handshakes(key(), 2)
    tried = [handshakes.expected]
    while closed(handshakes):
        assert not handshakes.denial(Failure.CLOSED)
        tried.append(handshakes.expected)
    assert tried == [BROKERS[name][0] for name in "cdab"]
    assert "none of the brokers whose keys are in" in handshakes.denial(Failure.CLOSED)


def test_the_key_that_fits_is_kept() -> None:
    handshakes = Handshakes(key(), 0)
    assert closed(handshakes)
    fits = handshakes.expected
    handshakes.connected(10)
    handshakes.succeeded()
    assert handshakes.expected == fits
    assert not handshakes.denial(Failure.CLOSED)


def test_a_process_without_a_key_learns_that_one_is_wanted() -> None:
    handshakes = Handshakes(None)
    assert handshakes.expected is None
    for _ in range(FAILURES_TOLD):
        assert not handshakes.denial(Failure.CLOSED)
        assert not closed(handshakes)
    assert "this process has none" in handshakes.denial(Failure.CLOSED)
    assert "this process has none" in Handshakes(None).denial(Failure.OTHER_MECHANISM)


def test_a_broker_that_takes_its_time_says_nothing_of_keys() -> None:
    handshakes = Handshakes(key({"a": BROKERS["a"]}))
    for _ in range(10):
        handshakes.connected(0)
        assert not handshakes.failed(Failure.CLOSED, SUDDEN_MS + 1)
        assert not handshakes.denial(Failure.CLOSED)


def test_a_key_that_is_not_let_in_is_told_at_once_with_its_public_half() -> None:
    mine = key()
    handshakes = Handshakes(mine)
    assert not handshakes.failed(Failure.DENIED, 0)
    text = handshakes.denial(Failure.DENIED)
    assert "not let in" in text
    assert mine.public in text
    assert encoded(mine.secret) not in text


def test_a_key_for_brokers_without_keys_is_told() -> None:
    assert "has no key" in Handshakes(key()).denial(Failure.OTHER_MECHANISM)
