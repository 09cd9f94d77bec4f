"""Contents that brokers cannot read: sealed, bound to their task, opened with any of the keys."""

import pickle

import pytest

from raftwork.crypto import Encryption
from raftwork.errors import CannotDecrypt
from raftwork.sealing import ARGUMENTS, RESULT, Bound, is_sealed
from raftwork.wire import pack

OLD, NEW = b"o" * 32, b"n" * 32
DATA = pack([["some plain text", 7], {}])
BOUND = Bound(ARGUMENTS, "id-1", "tasks.mail", "default")


def test_what_is_sealed_is_opened_and_is_the_same_each_time() -> None:
    codec = Encryption([NEW])
    sealed = codec.seal(DATA, BOUND)
    assert b"plain" not in sealed
    assert is_sealed(sealed)
    assert not is_sealed(DATA)
    assert codec.seal(DATA, BOUND) == sealed  # the cluster compares what is sent again
    assert codec.open(sealed, BOUND) == DATA


@pytest.mark.parametrize(
    "other",
    [
        BOUND._replace(task="id-2"),
        BOUND._replace(task="id-1x"),
        BOUND._replace(name="tasks.pay"),
        BOUND._replace(queue="other"),
        BOUND._replace(what=RESULT),
    ],
)
def test_what_is_another_tasks_does_not_open(other: Bound) -> None:
    codec = Encryption([NEW])
    with pytest.raises(CannotDecrypt, match="changed, or are another task's"):
        codec.open(codec.seal(DATA, BOUND), other)


def test_no_byte_can_be_changed() -> None:
    codec = Encryption([NEW])
    sealed = codec.seal(DATA, BOUND)
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(CannotDecrypt):
            codec.open(bytes(changed), BOUND)
    for length in range(len(sealed)):
        with pytest.raises(CannotDecrypt):
            codec.open(sealed[:length], BOUND)


def test_a_dead_task_that_is_retried_has_its_arguments() -> None:
    codec = Encryption([NEW])
    sealed = codec.seal(DATA, BOUND)
    again = codec.retry_id("id-1", "new")
    third = codec.retry_id(again, "newer")
    for task in (again, third):
        assert codec.open(sealed, BOUND._replace(task=task)) == DATA
    assert codec.retry_id("x" * 253, "new") == "new"  # ids have an end


def test_the_first_key_seals_and_all_of_them_open() -> None:
    before, both, after = Encryption([OLD]), Encryption([NEW, OLD]), Encryption([NEW])
    old = before.seal(DATA, BOUND)
    new = both.seal(DATA, BOUND)
    assert both.open(old, BOUND) == both.open(new, BOUND) == after.open(new, BOUND) == DATA
    with pytest.raises(CannotDecrypt, match="a key that is not here"):
        after.open(old, BOUND)


def test_what_is_not_sealed_is_refused_unless_that_is_wanted() -> None:
    with pytest.raises(CannotDecrypt, match="not encrypted"):
        Encryption([NEW]).open(DATA, BOUND)
    assert Encryption([NEW], plain=True).open(DATA, BOUND) == DATA


def test_a_unique_key_made_of_arguments_tells_nothing_without_the_key() -> None:
    assert Encryption([NEW]).fingerprint("a") == Encryption([NEW, OLD]).fingerprint("a")
    assert Encryption([NEW]).fingerprint("a") != Encryption([OLD]).fingerprint("a")
    assert Encryption([NEW]).fingerprint("a") != Encryption([NEW]).fingerprint("b")


@pytest.mark.parametrize("keys", [[], [b"short"], [b"x" * 33], b"x" * 32, ["x" * 32]])
def test_what_is_no_key_is_refused(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="key"):
        Encryption(keys)


def test_secrets_are_in_no_text_and_leave_no_process() -> None:
    codec = Encryption([OLD, NEW])
    assert "ooo" not in repr(codec)
    assert "nnn" not in repr(codec)
    with pytest.raises(TypeError):
        pickle.dumps(codec)
