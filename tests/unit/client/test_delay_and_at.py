"""`delay` and `at` say two times: both together are refused, before anything is sent."""

from datetime import UTC, datetime

import pytest

from raftwork.client.options import Options
from raftwork.client.per_call import PerCall

_AT = PerCall.of(None, None, datetime(2027, 1, 1, tzinfo=UTC), None)


def test_both_are_refused_by_name_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"delay and at say two times, got 30\.0 s .*delay=None"):
        _AT.extras(Options().changed({"delay": 30}))


def test_a_declared_delay_can_be_taken_back() -> None:
    declared = Options().changed({"delay": 30})
    assert _AT.extras(declared.changed({"delay": None})).at == 1798761600000
    assert PerCall().extras(declared).at == 0
