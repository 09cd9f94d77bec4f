"""When a broker was started is kept, for a while, and nothing rests on it."""

from pathlib import Path

from raftwork.broker.store.starts import KEPT, NAME, note_start, read_starts


def test_the_newest_starts_are_kept_in_order(tmp_path: Path) -> None:
    assert read_starts(tmp_path) == []
    for at in range(KEPT + 5):
        note_start(tmp_path, at)
    assert read_starts(tmp_path) == list(range(5, KEPT + 5))


def test_what_is_there_may_be_anything(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"12\nx\n\xff\n-3\n40\n")
    assert read_starts(tmp_path) == [12, 40]
    note_start(tmp_path / "gone", 1)
