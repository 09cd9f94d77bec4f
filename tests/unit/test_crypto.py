"""Contents that brokers cannot read: sealed, bound to their task, opened with any of the keys."""

import pickle

import pytest

from raftwork.crypto import Encryption
from raftwork.errors import CannotDecrypt
from raftwork.sealing import (
    ARGUMENTS,
    RESULT,
    SCHEDULED,
    Bound,
    is_sealed,
    joined_marks,
    marks_of,
)
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


def test_a_result_counts_for_its_flow_and_for_the_task_that_it_replaces() -> None:
    codec = Encryption([NEW])
    inside = joined_marks(marks_of("flow"), marks_of("flow/1"))
    sealed = codec.seal(DATA, Bound(RESULT, "child", marks=inside))
    for task in ("child", "flow", "flow/1", "flow~2", "flow~3"):
        assert codec.open(sealed, Bound(RESULT, task, marks=marks_of(task))) == DATA
    assert codec.open(sealed, Bound(RESULT, "any", marks=None)) == DATA
    assert codec.marks(sealed) == inside
    for other in ("other", "flow/2", "child/1"):
        with pytest.raises(CannotDecrypt, match="another task's"):
            codec.open(sealed, Bound(RESULT, other, marks=marks_of(other)))


def test_a_node_of_a_flow_that_is_retried_has_its_arguments() -> None:
    codec = Encryption([NEW])
    for task in ("order/2", "own-id"):
        bound = Bound(ARGUMENTS, task, "tasks.mail", "default", marks_of("order"))
        sealed = codec.seal(DATA, bound)
        for again in ("order~2/2", "order~17/2"):
            assert codec.open(sealed, bound._replace(task=again, marks=())) == DATA
        for other in ("order/3", "orders~2/2", "order~2/2/3", "order~2"):
            with pytest.raises(CannotDecrypt):
                codec.open(sealed, bound._replace(task=other, marks=()))


def test_what_is_sealed_for_a_schedule_is_for_its_ticks() -> None:
    codec = Encryption([NEW])
    sealed = codec.seal(DATA, Bound(SCHEDULED, "nightly"))
    tick = Bound(ARGUMENTS, "nightly@2027-03-28T01:30:00Z", "tasks.mail", "default")
    assert codec.open(sealed, tick) == DATA
    assert codec.open(sealed, Bound(SCHEDULED, "nightly")) == DATA
    for other in ("nightly", "weekly@2027-03-28T01:30:00Z", "nightly2@x"):
        with pytest.raises(CannotDecrypt):
            codec.open(sealed, tick._replace(task=other))
    of_a_task = codec.seal(DATA, tick._replace(task="nightly"))
    with pytest.raises(CannotDecrypt):  # a task whose id looks like a schedule's
        codec.open(of_a_task, tick)


def test_ids_of_any_length_and_any_number_of_marks_are_sealed() -> None:
    codec = Encryption([NEW])
    for task in ("ü" * 255, "~" * 255, ""):
        bound = Bound(RESULT, task, marks=marks_of(task))
        assert codec.open(codec.seal(DATA, bound), bound) == DATA
    marks: list[bytes] = []
    for depth in range(400):
        marks = joined_marks(marks, marks_of(f"t{depth}"))
    sealed = codec.seal(DATA, Bound(RESULT, "deep", marks=marks))
    for near in ("t0", "t399"):
        assert codec.open(sealed, Bound(RESULT, near, marks=marks_of(near))) == DATA


def test_in_the_time_in_which_keys_are_given_values_without_marks_are_taken() -> None:
    sealed = Encryption([NEW]).seal(DATA, Bound(RESULT, "child"))
    asked = Bound(RESULT, "flow", marks=marks_of("flow"))
    assert Encryption([NEW], plain=True).open(sealed, asked) == DATA
    with pytest.raises(CannotDecrypt):
        Encryption([NEW]).open(sealed, asked)
