"""Failures are stored as what they are; only reading one puts it into words."""

import pytest

from raftwork.errors import BadMessage, NewerMessage
from raftwork.messages import (
    Failure,
    Loss,
    OutcomeMalformed,
    OutcomeTooLarge,
    ResumeAsked,
    RetryAsked,
    TimeLimitPassed,
    WorkerLost,
    decode_failure,
    decode_failure_strictly,
    encode_failure,
    failure_head,
)
from raftwork.messages.failures import Ending
from raftwork.wire import pack, unpack

W = Loss("w1")
WORDS: list[tuple[Ending, str]] = [
    (Failure("ValueError", "no", "Traceback"), "ValueError: no"),
    (TimeLimitPassed(1_500), "TimeLimitExceeded: ran longer than its limit of 1500 ms"),
    (OutcomeTooLarge(7, 5), "PayloadTooLarge: an outcome of 7 bytes; 5 are allowed"),
    (OutcomeMalformed("x"), "BadMessage: the worker told no proper failure: x"),
    (
        WorkerLost(1, Loss(), True),
        "WorkerLost: its worker vanished while it ran it, and it may not be handed out twice",
    ),
    (
        WorkerLost(3, W._replace(signal=9), False),
        "WorkerLost: lost 3 times while it ran, the last time: w1 lost the process to signal 9",
    ),
    (
        RetryAsked(5, "Retry", "busy", "Traceback"),
        "Retry: busy",
    ),
    (
        ResumeAsked(),
        "Resume: its code asked to go on in another attempt, and it may be handed out only once",
    ),
    (
        WorkerLost(2, W._replace(exit=4), False),
        "WorkerLost: lost 2 times while it ran, the last time: w1 lost the process, which exited"
        " with status 4",
    ),
]


@pytest.mark.parametrize(("ending", "words"), WORDS)
def test_what_is_stored_is_put_into_words_when_it_is_read(ending: Ending, words: str) -> None:
    packed = encode_failure(ending)
    failure = decode_failure(packed)
    assert f"{failure.type}: {failure.message}" == failure_head(packed, 1_000) == words
    assert failure_head(packed, 5) == words[:5]
    assert decode_failure_strictly(packed) == ending
    if not isinstance(ending, Failure | RetryAsked):
        assert words[-12:].encode() not in packed, "words are not stored"


@pytest.mark.parametrize("ending", [ending for ending, _ in WORDS])
def test_a_field_more_is_dropped_by_readers_and_no_entry_has_it(ending: Ending) -> None:
    plain = unpack(encode_failure(ending))
    assert isinstance(plain, list)
    plain += list(ending)[len(plain) - 1 :]  # type: ignore[call-overload]
    assert decode_failure(pack([*plain, "new"])) == decode_failure(encode_failure(ending))
    with pytest.raises(NewerMessage):
        decode_failure_strictly(pack([*plain, "new"]))


def test_what_is_not_said_takes_no_room() -> None:
    said = Failure("ValueError", "no", "Traceback")
    kept = [
        said,
        said._replace(log="x"),
        said._replace(trace=b"t"),
        said._replace(log="x", trace=b"t"),
    ]
    packed = [encode_failure(each) for each in kept]
    assert [len(unpack(each)) for each in packed] == [4, 5, 6, 6]  # type: ignore[arg-type]
    assert [decode_failure_strictly(each) for each in packed] == kept


def test_a_failure_of_a_newer_release_is_one_all_the_same() -> None:
    newer = pack([99, "why"])
    assert decode_failure(newer).type == "Unknown"
    assert "newer release" in failure_head(newer, 200)
    with pytest.raises(NewerMessage):
        decode_failure_strictly(newer)


@pytest.mark.parametrize("packed", [b"", b"\xc1", b"\x90", pack([2, "x"]), pack([3])])
def test_what_is_no_failure_has_no_words(packed: bytes) -> None:
    with pytest.raises(BadMessage):
        decode_failure(packed)
    assert failure_head(packed, 200) == ""
