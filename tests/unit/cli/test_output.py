"""What is printed: every character of it can be seen, and JSON is the same JSON."""

import json
import sys
from io import BytesIO, TextIOWrapper

import pytest

from raftwork.cli import output


def test_a_document_is_the_same_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"\x1b\x9b": ["\u202e\ud800", "é 仕事 🎉", "\U000e0041", 'a"\\\n']}
    output.out_document(json.dumps(value, ensure_ascii=False))
    printed = capsys.readouterr().out
    assert json.loads(printed) == value
    assert printed[:-1].isprintable()
    assert "é 仕事 🎉" in printed


def test_a_stream_that_cannot_show_it_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = TextIOWrapper(BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    output.out("queue – é")
    output.out_document('{"x": "é🎉"}')
    stream.flush()
    first, second = stream.buffer.getvalue().decode("ascii").splitlines()
    assert first == r"queue \u2013 \xe9"
    assert json.loads(second) == {"x": "é🎉"}


def test_one_is_not_plural() -> None:
    assert output.count(1, "task") == "1 task"
    assert output.count(0, "task") == "0 tasks"
    assert output.count(2, "loss", "losses") == "2 losses"
