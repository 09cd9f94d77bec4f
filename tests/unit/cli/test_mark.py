"""`raftwork mark`: one text, and its bounds."""

from typing import Self

import pytest
from click.testing import CliRunner

from raftwork.cli import cluster as asking
from raftwork.cli.mark import command


class Marked:
    """An App that keeps what it is told."""

    def __init__(self) -> None:
        self.cluster = self
        self.texts: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def mark(self, text: str) -> None:
        self.texts.append(text)


def test_a_text_is_marked_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Marked()
    monkeypatch.setattr(asking, "App", lambda **_: app)
    done = CliRunner().invoke(command, ["deploy shop 2.7.1"])
    assert (done.exit_code, done.output, app.texts) == (0, "", ["deploy shop 2.7.1"])
    assert CliRunner().invoke(command, []).exit_code == 2
