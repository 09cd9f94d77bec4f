"""What follows tasks: nothing unless it is installed, and never in their way."""

import logging
from collections.abc import Iterator, Mapping

import pytest

from raftwork import instruments
from raftwork.instruments import Entered, Instrument, headers, install, installed, remove


@pytest.fixture(autouse=True)
def _none() -> Iterator[None]:
    yield
    installed.clear()


class Noted:
    """Notes when it is entered and left."""

    def __init__(self, name: str, seen: list[str], fails: str = "") -> None:
        self._name, self._seen, self._fails = name, seen, fails

    def __enter__(self) -> None:
        if self._fails == "enter":
            raise RuntimeError(self._name)
        self._seen.append(f"+{self._name}")

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        self._seen.append(f"-{self._name}:{error}")
        if self._fails == "leave":
            raise RuntimeError(self._name)
        return True  # that it would swallow the error counts for nothing


def test_one_is_installed_once_and_removed() -> None:
    one = Instrument()
    install(one)
    install(one)
    assert installed == [one]
    remove(one)
    remove(one)
    assert installed == []


def test_what_was_made_is_left_in_reverse_with_the_error() -> None:
    seen: list[str] = []
    with (
        pytest.raises(ValueError, match="no"),
        Entered([lambda: Noted("a", seen), lambda: Noted("b", seen)]),
    ):
        raise ValueError("no")
    assert seen == ["+a", "+b", "-b:no", "-a:no"]


def test_what_fails_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []
    made = [
        lambda: Noted("a", seen, "enter"),
        lambda: Noted("b", seen, "leave"),
        lambda: Noted("c", seen),
    ]
    with caplog.at_level(logging.WARNING), Entered(made):
        seen.append("code")
    assert seen == ["+b", "+c", "code", "-c:None", "-b:None"]
    assert [record.name for record in caplog.records] == ["raftwork"] * 2


def test_headers_are_those_of_all_and_the_calls_own_come_first(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> Mapping[str, str]:
        raise RuntimeError("no")

    install(Instrument(headers=lambda: {"a": "1", "b": "1"}))
    install(Instrument(headers=broken, flush=broken))
    install(Instrument(headers=lambda: {"b": "2", "c": "2"}))
    with caplog.at_level(logging.WARNING):
        assert headers({"c": "own"}) == {"a": "1", "b": "2", "c": "own"}
        instruments.flush()
    assert len(caplog.records) == 2
