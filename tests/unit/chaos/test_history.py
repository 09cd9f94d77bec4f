"""Journals: every event reads back as it was written, however its writer ended."""

from pathlib import Path

import pytest

from raftwork.chaos.history import (
    Asked,
    Ended,
    Event,
    Finished,
    Healed,
    Journal,
    Looked,
    Refused,
    Started,
    Stored,
    Struck,
    line,
    parse,
    read,
)

EVERY_KIND: list[Event] = [
    Asked(1.5, "c", "t", 7, 1),
    Stored(2.25, "c", "t"),
    Refused(2.25, "c", "t"),
    Ended(3.0, "c", "t", "succeeded", 7, 12),
    Looked(4.0, "c", "t", 3.5, "queued"),
    Started(5.0, "w", "t", 12, 1),
    Finished(6.0, "w", "t", 12),
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
    Journal(tmp_path / "one").write(EVERY_KIND[0], EVERY_KIND[4])
    Journal(tmp_path / "two").write(EVERY_KIND[3])
    assert read(tmp_path) == [EVERY_KIND[0], EVERY_KIND[3], EVERY_KIND[4]]


def test_a_line_its_writer_did_not_live_to_end_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "one").write_text(line(EVERY_KIND[1]) + "stored 3.0 c tor")
    assert read(tmp_path) == [EVERY_KIND[1]]


def test_damage_before_the_last_line_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("stored 3.0 c\n" + line(EVERY_KIND[1]))
    with pytest.raises(ValueError, match="not an event"):
        read(tmp_path)
