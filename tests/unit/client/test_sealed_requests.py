"""An App with a codec: what leaves it is sealed, whatever kind of enqueue it is."""

from typing import cast

import pytest

from raftwork.client import sealed_requests
from raftwork.client.batch import many_calls, one_call
from raftwork.crypto import Encryption
from raftwork.errors import CannotDecrypt, PayloadTooLarge
from raftwork.features.enqueue import Enqueue
from raftwork.features.results import Ask
from raftwork.features.schedule_plan import Fields, decode_fields, encode_fields, pack_extras
from raftwork.features.schedule_records import (
    CreateSchedule,
    Declared,
    DeclareSchedules,
    UpdateSchedule,
)
from raftwork.features.signals import SIGNAL_BYTES_MAX, SaySignal
from raftwork.features.unique import EnqueueUnique
from raftwork.messages import (
    PAYLOAD_MAX,
    Extras,
    Failure,
    LimitReached,
    OnConflict,
    RetryAsked,
    Spec,
    decode_ending,
    decode_failure,
    encode_failure,
    encode_spec,
)
from raftwork.sealed_failures import open_failure, seal_failure
from raftwork.sealed_flows import open_value
from raftwork.sealing import RESULT, Bound, is_sealed, marks_of
from raftwork.wire import pack, unpack

CODEC = Encryption([b"k" * 32])
NO_REPLACING = [each for each in OnConflict if each is not OnConflict.REPLACE]
SPEC = encode_spec(Spec("tasks.mail", "q"))


def rows(request: Enqueue | EnqueueUnique) -> list[list[object]]:
    return cast("list[list[object]]", unpack(request.tasks))


def test_every_task_of_a_batch_is_sealed_under_its_id_and_nothing_else_changes() -> None:
    batch = many_calls("tasks.mail", [("one",), ("two",)], ["a", "b"], (), ["k1", "k2"])
    request = Enqueue(3, 4, SPEC, batch.tasks, watch=True)
    made = sealed_requests.sealed(CODEC, request)
    assert isinstance(made, Enqueue)
    assert made._replace(tasks=b"") == request._replace(tasks=b"")
    assert [(row[0], row[2]) for row in rows(made)] == [("a", "k1"), ("b", "k2")]
    for (task, payload, _), word in zip(rows(made), ("one", "two"), strict=True):
        assert isinstance(payload, bytes)
        assert is_sealed(payload)
        opened = sealed_requests.arguments(CODEC, payload, str(task), "tasks.mail", "q")
        assert unpack(opened) == [[word], {}]
    assert made == sealed_requests.sealed(CODEC, request)
    other = Ask(1, ["a"])
    assert sealed_requests.sealed(CODEC, other) is other


def test_a_unique_key_of_arguments_is_no_hash_that_brokers_could_guess_them_by() -> None:
    batch = one_call(pack([[1], {}]), "a", extras=Extras(tenant="x"), by_arguments=True)
    other = one_call(pack([[1], {}]), "b", extras=Extras(tenant="x"), by_arguments=True)
    made = [
        cast("list[object]", rows(sealed_requests.sealed(CODEC, request))[0][3])  # type: ignore[arg-type]
        for request in (EnqueueUnique(0, 0, SPEC, each.tasks) for each in (batch, other))
    ]
    plain = cast("list[object]", rows(EnqueueUnique(0, 0, SPEC, batch.tasks))[0][3])
    assert made[0][0] == made[1][0] != plain[0]
    assert made[0][1:] == plain[1:]


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (Spec("tasks.mail", "q", on_conflict=OnConflict.REPLACE), True),
        (Spec("tasks.mail", "q", debounce=10, max_wait=20), True),
        *((Spec("tasks.mail", "q", on_conflict=other), False) for other in NO_REPLACING),
    ],
)
def test_what_may_replace_the_arguments_of_a_task_counts_for_that_task(
    asked: Spec, kept: bool
) -> None:
    """That one keeps its id, and its worker opens them under that."""
    batch = one_call(pack([["new"], {}]), "later", extras=Extras("k"))
    made = sealed_requests.sealed(CODEC, EnqueueUnique(0, 0, encode_spec(asked), batch.tasks))
    assert made == sealed_requests.sealed(
        CODEC, EnqueueUnique(0, 0, encode_spec(asked), batch.tasks)
    )
    assert isinstance(made, EnqueueUnique)
    payload = cast("bytes", rows(made)[0][1])
    own = sealed_requests.arguments(CODEC, payload, "later", "tasks.mail", "q")
    assert unpack(own) == [["new"], {}]
    for task in ("first", "first~again"):
        if kept:
            opened = sealed_requests.arguments(CODEC, payload, task, "tasks.mail", "q")
            assert opened == own
        else:
            with pytest.raises(CannotDecrypt):
                sealed_requests.arguments(CODEC, payload, task, "tasks.mail", "q")
    with pytest.raises(CannotDecrypt):
        sealed_requests.arguments(CODEC, payload, "first", "tasks.other", "q")


def test_limits_hold_for_what_is_sealed() -> None:
    batch = one_call(pack([[b"x" * (PAYLOAD_MAX - 10)], {}]), "a")
    with pytest.raises(PayloadTooLarge, match="once they are encrypted"):
        sealed_requests.sealed(CODEC, Enqueue(0, 0, SPEC, batch.tasks))


def test_without_the_key_it_is_said_that_one_is_missing() -> None:
    data = CODEC.seal(pack("secret"), Bound(RESULT, "a"))
    assert unpack(sealed_requests.value(CODEC, data, "a")) == "secret"
    with pytest.raises(CannotDecrypt, match="has no key for contents"):
        sealed_requests.value(None, data, "a")
    assert sealed_requests.value(None, pack(1), "a") == pack(1)


@pytest.mark.parametrize(
    "ending",
    [
        Failure("ValueError", "a secret text", "with secret lines", "secret log"),
        RetryAsked(5, "Retry", "a secret text", "with secret lines", "secret log"),
        LimitReached(5, "stripe", "a secret text"),
    ],
)
def test_texts_of_failures_are_sealed_and_their_types_are_not(
    ending: Failure | RetryAsked | LimitReached,
) -> None:
    data = seal_failure(CODEC, encode_failure(ending), "a")
    assert b"secret" not in data
    assert type(decode_ending(data)) is type(ending)
    told = decode_failure(data)
    assert told.type == ending.in_words().type
    assert open_failure(CODEC, told, "a") == ending.in_words()
    assert "another task's" in open_failure(CODEC, told, "b").message
    assert "has no key" in open_failure(None, told, "a").message


def test_what_brokers_say_of_a_failure_stays_as_it_is() -> None:
    plain = Failure("TimeLimitExceeded", "ran longer", "")
    assert open_failure(CODEC, plain, "a") is plain


def fields(**said: object) -> bytes:
    return encode_fields(Fields(**said))  # type: ignore[arg-type]


def _fields_of(request: object) -> bytes:
    if isinstance(request, DeclareSchedules):
        return request.schedules[0].fields
    assert isinstance(request, CreateSchedule | UpdateSchedule)
    return request.fields


def test_a_schedules_arguments_are_sealed_wherever_they_are_said() -> None:
    said = fields(
        payload=pack([["secret"], {}]), extras=pack_extras(Extras("arguments x")), cron=""
    )
    requests = (
        CreateSchedule(0, "s", said),
        UpdateSchedule(0, "s", said, 1),
        DeclareSchedules(0, "m:app", [Declared("s", said)]),
    )
    for request in requests:
        made = sealed_requests.sealed(CODEC, request)
        assert type(made) is type(request)
        packed = _fields_of(made)
        assert b"secret" not in packed
        told = decode_fields(packed)
        assert told.payload is not None
        assert unpack(sealed_requests.scheduled(CODEC, told.payload, "s")) == [["secret"], {}]
        assert told.cron == ""
        assert told.extras
        assert b"arguments x" not in told.extras
    nothing = UpdateSchedule(0, "s", fields(cron="@daily"), 1)
    assert sealed_requests.sealed(CODEC, nothing) == nothing


def test_a_signals_value_is_sealed_for_its_flow() -> None:
    made = sealed_requests.sealed(CODEC, SaySignal(0, "f", "go", pack("secret")))
    assert isinstance(made, SaySignal)
    assert b"secret" not in made.value
    assert unpack(open_value(CODEC, made.value, "f/1", marks_of("f"))) == "secret"
    with pytest.raises(CannotDecrypt):
        open_value(CODEC, made.value, "g/1", marks_of("g"))
    with pytest.raises(PayloadTooLarge, match="once it is encrypted"):
        sealed_requests.sealed(CODEC, SaySignal(0, "f", "go", b"x" * SIGNAL_BYTES_MAX))


def test_of_a_task_brokers_cannot_say_that_it_returned_nothing_but_an_empty_list() -> None:
    with pytest.raises(CannotDecrypt, match="not encrypted"):
        sealed_requests.value(CODEC, pack([]), "a")
    assert sealed_requests.value(CODEC, pack([]), "f", flow=True) == pack([])
