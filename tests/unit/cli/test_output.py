"""What is printed: every character of it can be seen, and JSON is the same JSON."""

import json
import os
import subprocess
import sys
from io import BytesIO, TextIOWrapper

import pytest

from raftwork.cli import output
from raftwork.cli.tables import Column


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


@pytest.mark.parametrize(("line", "code"), [(">/dev/full", 1), ("2>/dev/full", 0)])
def test_a_result_that_cannot_be_written_is_an_error_and_a_notice_is_not(
    line: str, code: int
) -> None:
    """It was a traceback of twenty lines; and a notice that nobody could read failed a command."""
    program = (
        "import click; from raftwork.cli import main, output\n"
        "@main.command('x')\n"
        "def x(): output.err('notice'); output.out('result')\n"
        "main(['x'])"
    )
    done = subprocess.run(
        ["bash", "-c", f'exec "{sys.executable}" -c "$PROGRAM" {line}'],
        env={**os.environ, "PROGRAM": program},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code
    if code:
        text = "notice\nError: cannot write the result to stdout: No space left on device\n"
        assert done.stderr == text
    else:
        assert done.stdout == "result\n"


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_nothing_is_bold_where_that_is_not_wanted(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(TextIOWrapper):
        def isatty(self) -> bool:
            return True

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    shown = BytesIO()
    stream = Terminal(shown, encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", stream)
    output.out_table([Column("queue")], [["q"]])
    stream.flush()
    assert b"\x1b" not in shown.getvalue()


def test_a_line_of_another_process_has_its_name_in_front(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.labelled("worker", "cyan", "2026-11-30T09:20:18.033Z WARNING dev: \x1b[2J")
    printed = capsys.readouterr()
    assert printed.err == "worker | 2026-11-30T09:20:18.033Z WARNING dev: \\x1b[2J\n"
    assert printed.out == ""


def test_on_a_terminal_names_and_warnings_have_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(TextIOWrapper):
        def isatty(self) -> bool:
            return True

    def shown(line: str) -> str:
        written = BytesIO()
        stream = Terminal(written, encoding="utf-8")
        monkeypatch.setattr(sys, "stderr", stream)
        output.labelled("worker", "cyan", line)
        stream.flush()
        return written.getvalue().decode()

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    name = "\x1b[36m\x1b[1mworker\x1b[0m | "
    assert shown("a line") == f"{name}a line\n"
    assert shown("2026-11-30T09:20:18Z ERROR x") == (
        f"{name}\x1b[31m2026-11-30T09:20:18Z ERROR x\x1b[0m\n"
    )
    monkeypatch.setenv("NO_COLOR", "1")
    assert shown("2026-11-30T09:20:18Z ERROR x") == "worker | 2026-11-30T09:20:18Z ERROR x\n"
