"""Imports without the collector of cycles."""

import gc

import pytest

from raftwork.cli.uncollected import uncollected


def test_there_is_no_collector_while_it_lasts() -> None:
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_an_import_that_fails_leaves_the_collector_on() -> None:
    with pytest.raises(ImportError), uncollected():
        raise ImportError("no such module")
    assert gc.isenabled()
