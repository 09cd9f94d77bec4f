"""What a task raises to say what is to become of it."""

import copy
import pickle
from datetime import timedelta

import pytest

from raftwork import RateLimited, Reject, Resume, Retry


@pytest.mark.parametrize(
    "error",
    [
        *(Retry(after=30), Retry("full", after=1), Reject("no"), Resume()),
        *(RateLimited(retry_after=3, limit="a"), RateLimited("full", retry_after=0)),
    ],
)
def test_it_is_the_same_in_another_process(error: Exception) -> None:
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(other), str(other), vars(other)) == (type(error), str(error), vars(error))


def test_no_code_shuts_a_limit_for_ever() -> None:
    month = 31 * 86_400
    assert RateLimited(retry_after=month).retry_after == month
    text = f"retry_after must be at most {month} seconds \\(31 days\\), got {month + 1}"
    with pytest.raises(ValueError, match=text):
        RateLimited(retry_after=month + 1)


def test_a_pause_is_seconds_or_a_timedelta() -> None:
    assert Retry(after=timedelta(minutes=1)).after == 60
    assert str(Retry(after=1.5)) == "its code asked for another attempt after 1.5 s"
    assert (str(Retry()), Retry().after) == ("its code asked for another attempt", None)


@pytest.mark.parametrize(
    ("after", "error"), [(-1, ValueError), ("30", TypeError), (float("nan"), ValueError)]
)
def test_a_pause_that_means_nothing_is_refused(after: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="after must be"):
        Retry(after=after)  # type: ignore[arg-type]
