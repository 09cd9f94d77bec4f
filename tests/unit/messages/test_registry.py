"""Records sign up under numbers: each once, and each request with its answer."""

from typing import NamedTuple

import pytest

from raftwork.broker.machine.commands import commands
from raftwork.errors import BadMessage
from raftwork.features import from_broker, to_broker
from raftwork.messages.registry import Frame, replies, to_worker
from raftwork.wire import Codec


class One(NamedTuple):
    request: int


class Two(NamedTuple):
    request: int


def test_a_record_travels_under_its_number() -> None:
    codec: Codec[Frame] = Codec()
    assert codec.register(7)(One) is One
    assert codec.plain(One(3)) == (7, 3)
    assert codec.decode(codec.encode(One(3))) == One(3)
    with pytest.raises(BadMessage, match="unknown message tag 8"):
        codec.from_plain([8, 3])


def test_a_number_is_one_records() -> None:
    codec: Codec[Frame] = Codec()
    codec.register(7)(One)
    with pytest.raises(ValueError, match="tag 7 is One's already"):
        codec.register(7)(Two)


def test_a_record_has_one_number() -> None:
    codec: Codec[Frame] = Codec()
    codec.register(7)(One)
    with pytest.raises(ValueError, match="One has the tag 7 already"):
        codec.register(8)(One)


def test_a_frame_of_a_workers_session_begins_with_its_head() -> None:
    with pytest.raises(TypeError, match="One does not begin with the epoch and the session"):
        to_worker(99)(One)
    assert 99 not in from_broker.records


@pytest.mark.parametrize("codec", [to_broker, from_broker, commands])
def test_every_record_has_fields_that_a_frame_can_carry(codec: Codec[Frame]) -> None:
    for tag in codec.records:
        record, *_ = codec._compile([tag])
        assert record is codec.records[tag]


def test_every_request_and_its_answer_are_told_apart_by_their_first_field() -> None:
    assert replies
    for request, reply in replies.items():
        assert request in to_broker.records.values()
        assert reply in from_broker.records.values()
        for record in (request, reply):
            assert record._fields[0] == "request", record  # type: ignore[attr-defined]


def test_numbers_never_change_their_meaning() -> None:
    """What another release sent or wrote under them is read with them."""
    names = {tag: record.__name__ for tag, record in to_broker.records.items()}
    assert {3: "Enqueue", 4: "Watch", 5: "Ask", 10: "WorkerHello", 20: "PeerHello"}.items() <= (
        names.items()
    )
    assert {1: "Admit", 2: "Assign", 3: "Finish", 51: "Configure", 61: "Purge"}.items() <= {
        tag: record.__name__ for tag, record in commands.records.items()
    }.items()
