"""The broker refuses what a client would have: options that contradict each other."""

import pytest

from raftwork.errors import ProtocolError
from raftwork.features.task_batch import Columns
from raftwork.features.unique import _check_options
from raftwork.messages import Extras, OnConflict, Spec

KEYED = Columns(["a"], [b""], [""], [Extras(unique="k")])


@pytest.mark.parametrize(
    ("spec", "tasks", "said"),
    [
        (Spec("t", "q", debounce=5, max_wait=4), KEYED, "at least debounce, got 4 ms and 5 ms"),
        (
            Spec("t", "q", debounce=5, max_wait=5, on_conflict=OnConflict.RAISE),
            KEYED,
            "no other on_conflict",
        ),
        (Spec("t", "q"), Columns(["a"], [b""]), "needs a unique key"),
        (Spec("t", "q"), KEYED._replace(extras=[Extras(at=7)]), "needs a unique key"),
    ],
)
def test_what_makes_no_sense_is_refused(spec: Spec, tasks: Columns, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        _check_options(spec, tasks)


def test_what_makes_sense_is_not() -> None:
    _check_options(Spec("t", "q", debounce=5, max_wait=5), KEYED)
    _check_options(Spec("t", "q", on_conflict=OnConflict.RERUN, period=5), KEYED)
    _check_options(Spec("t", "q"), Columns())
