"""Journals: every event reads back as it was written, however its writer ended."""

from pathlib import Path

import pytest

from raftwork.chaos.history import (
    Asked,
    Cancelled,
    Cancelling,
    Counted,
    Ended,
    Event,
    Existing,
    Finished,
    Found,
    Healed,
    Journal,
    Kept,
    Looked,
    Refused,
    Started,
    Stored,
    Struck,
    Wanted,
    line,
    parse,
    read,
)

EVERY_KIND: list[Event] = [
    Asked(1.5, "c", "t", 7, 1),
    Wanted(1.5, "c", "t", "delay", "2.5"),
    Stored(2.25, "c", "t"),
    Existing(2.25, "c", "t", "u"),
    Refused(2.25, "c", "t"),
    Ended(3.0, "c", "t", "succeeded", 7, 12),
    Looked(4.0, "c", "t", 3.5, "queued"),
    Cancelling(4.5, "c", "t"),
    Cancelled(4.75, "c", "t"),
    Started(5.0, "w", "t", 12, 1),
    Found(5.0, "w", "t", 12, 0),
    Kept(5.5, "w", "t", 12, 1),
    Finished(6.0, "w", "t", 12),
    Counted(6.5, "c", "t", 3),
    Struck(7.0, "kill", "leader", "a"),
    Healed(8.0, "kill", "a"),
]


@pytest.mark.parametrize("event", EVERY_KIND)
def test_an_event_reads_back_as_it_was_written(event: Event) -> None:
    assert parse(line(event).removesuffix("\n")) == event


@pytest.mark.parametrize(
    "text", ["", "slept 1.0 c", "stored one c t", "stored 1.0 c", "stored 1 c t x"]
)
def test_what_is_no_event_is_not_guessed_at(text: str) -> None:
    with pytest.raises(ValueError, match="not an event"):
        parse(text)


def test_journals_of_several_processes_read_as_one_history_by_time(tmp_path: Path) -> None:
    Journal(tmp_path / "one").write(EVERY_KIND[0], EVERY_KIND[-1])
    Journal(tmp_path / "two").write(EVERY_KIND[4])
    assert read(tmp_path) == [EVERY_KIND[0], EVERY_KIND[4], EVERY_KIND[-1]]


def test_a_line_its_writer_did_not_live_to_end_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "one").write_text(line(EVERY_KIND[2]) + "stored 3.0 c tor")
    assert read(tmp_path) == [EVERY_KIND[2]]


def test_damage_before_the_last_line_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("stored 3.0 c\n" + line(EVERY_KIND[1]))
    with pytest.raises(ValueError, match="not an event"):
        read(tmp_path)
