"""Options are checked where they are written, and reach the broker as ms."""

import math
from datetime import timedelta
from typing import cast

import pytest

from raftwork.client.options import OptionFields, Options, milliseconds
from raftwork.messages import Backoff, Spec, decode_spec
from tests.unit import reference
from tests.unit.reference import documented, page


def test_options_become_a_spec_in_ms() -> None:
    options = Options().changed(
        {
            "queue": "bulk",
            "timeout": 1.5,
            "retries": 3,
            "backoff": timedelta(milliseconds=20),
            "max_backoff": 2,
            "delivery": "at_most_once",
            "result_ttl": 0,
        }
    )
    assert decode_spec(options.spec("pkg.add")) == Spec(
        "pkg.add", "bulk", 1_500, 3, 20, 2_000, at_most_once=True, result_ttl=0
    )


def test_a_retry_policy_goes_by_the_names_of_exceptions() -> None:
    options = Options().changed(
        {
            "retry_on": [OSError, "requests.Timeout", OSError],
            "no_retry_on": "FileNotFoundError",
            "backoff_kind": "linear",
        }
    )
    spec = decode_spec(options.spec("t"))
    assert spec.retry_on == ("builtins.OSError", "requests.Timeout")
    assert spec.no_retry_on == ("builtins.FileNotFoundError",)
    assert spec.backoff_kind is Backoff.LINEAR


def test_priority_and_order_are_the_specs() -> None:
    options = Options().changed({"priority": -100, "ordered": True, "on_failure": "halt"})
    assert decode_spec(options.spec("t")) == Spec(
        "t", "default", priority=0, ordered=True, halts=True
    )
    assert decode_spec(Options(priority=100, on_failure="halt").spec("t")).priority == 200


def test_the_defaults_are_those_of_the_spec() -> None:
    assert decode_spec(Options().spec("t")) == Spec("t", "default")


def test_what_a_client_does_where_there_is_no_room_is_its_own_business() -> None:
    assert Options().changed({"when_full": "wait"}).spec("t") == Options().spec("t")


def test_changes_leave_the_rest_as_it_was() -> None:
    options = Options().changed({"queue": "a", "timeout": 5}).changed({"timeout": None})
    assert (options.queue, options.timeout) == ("a", 0)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"timeout": -1}, ValueError),
        ({"timeout": 0}, ValueError),
        ({"timeout": math.nan}, ValueError),
        ({"timeout": math.inf}, ValueError),
        ({"timeout": True}, TypeError),
        ({"timeout": "5"}, TypeError),
        ({"backoff": None}, TypeError),
        ({"backoff": timedelta(seconds=-1)}, ValueError),
        ({"retries": -1}, ValueError),
        ({"retries": True}, TypeError),
        ({"retries": 1.0}, TypeError),
        ({"queue": ""}, ValueError),
        ({"queue": "q" * 256}, ValueError),
        ({"queue": "a,b"}, ValueError),
        ({"queue": " a"}, ValueError),
        ({"queue": 7}, TypeError),
        ({"delivery": "exactly_once"}, ValueError),
        ({"colour": 3}, TypeError),
        ({"priority": 101}, ValueError),
        ({"priority": -101}, ValueError),
        ({"priority": True}, TypeError),
        ({"priority": 1.5}, TypeError),
        ({"ordered": 1}, TypeError),
        ({"on_failure": "stop"}, ValueError),
        ({"when_full": "block"}, ValueError),
        ({"expires": 0}, ValueError),
        ({"deadline": -1}, ValueError),
        ({"deadline": "1h"}, TypeError),
        ({"delay": 5, "expires": 5}, ValueError),
        ({"delay": 5, "deadline": 4.9}, ValueError),
        ({"backoff_kind": "cubic"}, ValueError),
        ({"retry_on": 7}, TypeError),
        ({"retry_on": int}, TypeError),
        ({"retry_on": ()}, ValueError),
        ({"no_retry_on": "Nope"}, ValueError),
        ({"no_retry_on": [f"m.E{i}" for i in range(33)]}, ValueError),
        ({"no_retry_on": "m." + "e" * 255}, ValueError),
    ],
)
def test_options_that_cannot_be_meant_are_refused(given: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        Options().changed(cast("OptionFields", given))


def test_every_option_is_in_the_reference() -> None:
    assert documented().keys() == OptionFields.__annotations__.keys() == set(Options._fields)
    assert reference.PAGE.read_text() == page(), "run python -m tests.unit.reference"


def test_what_differs_from_the_defaults_is_told_as_it_is_written() -> None:
    options = Options().changed({"timeout": 2.5, "result_ttl": timedelta(hours=1), "retries": 3})
    assert options.given() == {"timeout": 2.5, "retries": 3, "result_ttl": 3_600.0}
    assert Options().changed(cast("OptionFields", options.given())) == options


def test_a_duration_is_rounded_up_so_that_none_becomes_no_time() -> None:
    assert milliseconds("x", 0.0001) == 1
    assert milliseconds("x", 0) == 0
