"""The options of unique tasks: what is refused before anything is sent, and what the key is."""

import pickle

import pytest

from raftwork import App
from raftwork.client.batch import many_calls, one_call
from raftwork.client.per_call import ORDINARY
from raftwork.client.uniqueness import check_conflicts, key_of
from raftwork.errors import AlreadyEnqueued
from raftwork.messages import OnConflict, decode_spec
from raftwork.serialization import call_packer, pack_call
from raftwork.wire import pack, unpack

app = App("127.0.0.1:1")


@app.task(name="t")
def task(*args: object, **kwargs: object) -> None:
    """Nothing."""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"unique": ""}, "unique must have 1 to 255 characters, got 0"),
        ({"unique": "k" * 256}, "unique must have 1 to 255 characters, got 256"),
        ({"unique": "\ud800"}, "lone surrogate"),
        ({"until": "begun"}, "until must be 'finished' or 'started', got 'begun'"),
        ({"on_conflict": "drop"}, "on_conflict must be one of return, raise, replace, rerun"),
        ({"period": -1}, "period must be between 0 and"),
        ({"debounce": 5, "max_wait": 4}, r"max_wait must be at least debounce \(5.0 s\), got 4.0"),
        ({"max_wait": 4}, "max_wait is for debounce"),
        ({"debounce": 5, "on_conflict": "raise"}, "debounce replaces"),
        ({"debounce": 5, "on_conflict": "rerun"}, "debounce replaces"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        task.options(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", [7, 1.5, ["k"], {"k": 1}, b"k"])
def test_a_key_is_a_text(key: object) -> None:
    with pytest.raises(
        TypeError, match=f"unique must be a str, True or None, got {type(key).__name__}"
    ):
        task.options(unique=key)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given",
    [{"until": "started"}, {"period": 5}, {"on_conflict": "raise"}, {"debounce": 5}],
)
def test_an_option_about_keys_needs_a_key(given: dict[str, object]) -> None:
    (name,) = given
    with pytest.raises(ValueError, match=f"{name} is for tasks with a unique key"):
        task.options(**given).enqueue()  # type: ignore[arg-type]


def test_they_are_in_the_spec_as_brokers_know_them() -> None:
    chosen = task.options(
        unique="k", until="started", period=2, on_conflict="replace", debounce=3
    ).chosen
    spec = decode_spec(chosen.spec("t"))
    assert (spec.until_started, spec.period, spec.on_conflict) == (True, 2_000, OnConflict.REPLACE)
    assert (spec.debounce, spec.max_wait) == (3_000, 30_000)
    assert ORDINARY.extras(chosen).unique == "k"


def test_arguments_are_the_key_however_they_are_ordered() -> None:
    def key(*args: object, **kwargs: object) -> str:
        payload = pack_call(call_packer(), "t", args, kwargs)
        batch = one_call(payload, None, by_arguments=True)
        ((_, _, _, (unique, *_)),) = unpack(batch.tasks)  # type: ignore[misc]
        return str(unique)  # type: ignore[has-type]

    assert key(1, a={"x": 1, "y": 2}, b=3) == key(1, b=3, a={"y": 2, "x": 1})
    assert len({key(1), key(2), key("1"), key([1]), key(), key(a=1)}) == 6
    many = many_calls("t", [(1,), (2,), (1,)], None, (), by_arguments=True)
    keys = [row[3][0] for row in unpack(many.tasks)]  # type: ignore[attr-defined]
    assert keys == [key(1), key(2), key(1)]
    assert len(key_of(pack([[], {}]))) < 255


def test_the_error_names_the_task_that_is_there_and_survives_a_pool() -> None:
    with pytest.raises(
        AlreadyEnqueued, match=r"there: other-id, met by task 3 .* 1 more"
    ) as caught:
        check_conflicts([(3, "other-id"), (5, "another")])
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.id, again.index, str(again)) == ("other-id", 3, str(caught.value))
    check_conflicts([])
