"""One `raftwork dev` a directory: the second finds the first, and says so."""

import os
from pathlib import Path

import pytest

from raftwork.cli.dev.place import Place, Taken


def test_a_second_one_is_told_of_the_first(tmp_path: Path) -> None:
    with Place(tmp_path / "new" / ".raftwork", "127.0.0.1:7701"):
        with pytest.raises(Taken) as told, Place(tmp_path / "new" / ".raftwork", "127.0.0.1:1"):
            pass
        assert f"process {os.getpid()}, its broker at 127.0.0.1:7701" in str(told.value)


def test_the_next_one_has_it(tmp_path: Path) -> None:
    for _ in range(2):
        with Place(tmp_path, "127.0.0.1:7701"):
            pass


def test_what_a_crash_left_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "dev.lock").write_text("1 127.0.0.1:7701\nand more than this one writes")
    with Place(tmp_path, "127.0.0.1:2"):
        assert (tmp_path / "dev.lock").read_text() == f"{os.getpid()} 127.0.0.1:2\n"


def test_version_control_passes_it_by(tmp_path: Path) -> None:
    with Place(tmp_path, "127.0.0.1:7701"):
        assert (tmp_path / ".gitignore").read_text().splitlines()[-1] == "*"
