"""The demo counts honestly: a run is judged by its records and by asking again."""

from dataclasses import replace
from pathlib import Path

import pytest

from raftwork.cli.demo.run import Counts
from raftwork.cli.demo.tasks import Records


def test_records_are_read_on_whole_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "records"
    records = Records(path)
    path.write_text("1.0 start w1 7 x\n2.0 start w1 8 y\n3.0 finish w1 7 x\n4.0 star")
    records.read()
    assert {token: start.task for token, start in records.running.items()} == {8: "y"}
    with path.open("a") as file:
        file.write("t w2 9 y\n")
    records.read()
    assert records.starts == {"x": [1.0], "y": [2.0, 4.0]}
    assert {start.worker for start in records.running.values()} == {"w1", "w2"}


def good() -> Counts:
    return Counts(enqueued=5, acknowledged=5, results=5)


def test_runs_that_lost_nothing_are_good() -> None:
    assert replace(good(), run_more_than_once=2).good


@pytest.mark.parametrize(
    "counts",
    [
        Counts(enqueued=5, acknowledged=5, results=4, lost=1),
        Counts(enqueued=5, acknowledged=4, results=4),
        replace(good(), duplicate_outcomes=1),
        replace(good(), idle_kills=["nobody was busy"]),
    ],
)
def test_a_loss_a_second_outcome_or_an_idle_kill_is_a_failure(counts: Counts) -> None:
    assert not counts.good
