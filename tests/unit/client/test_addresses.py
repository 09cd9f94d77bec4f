"""Where the brokers are: argument, environment, default."""

import pytest

from raftwork.client.addresses import DEFAULT_BROKERS, broker_addresses

DEFAULTS = ("127.0.0.1:7701", "127.0.0.1:7702", "127.0.0.1:7703")


def test_the_argument_wins_over_the_environment_and_that_over_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAFTWORK_BROKERS", "env:1,env:2")
    assert broker_addresses("arg:1") == ("arg:1",)
    assert broker_addresses(None) == ("env:1", "env:2")
    monkeypatch.delenv("RAFTWORK_BROKERS")
    assert broker_addresses(None) == DEFAULTS == tuple(DEFAULT_BROKERS.split(","))


def test_a_list_may_be_a_string_or_a_sequence_and_names_each_broker_once() -> None:
    assert broker_addresses(" a:1, b:2 ,a:1,") == ("a:1", "b:2")
    assert broker_addresses(["a:1", "[::1]:2"]) == ("a:1", "[::1]:2")


@pytest.mark.parametrize(
    "text",
    ["", ",", "a", "a:", ":1", "a:0", "a:65536", "a:x", "tcp://a:1", "::1:2", "*:1", "a b:1"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        broker_addresses(text)


def test_what_is_wrong_with_the_environment_names_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A program that gives no address could not tell where a malformed one came from."""
    monkeypatch.setenv("RAFTWORK_BROKERS", "127.0.0.1")
    with pytest.raises(ValueError, match=r"^RAFTWORK_BROKERS: .* got '127.0.0.1'$"):
        broker_addresses(None)
