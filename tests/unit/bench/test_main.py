"""`python -m bench`: what there is, and what there is not."""

import subprocess
import sys

import pytest

from bench import __main__ as bench


@pytest.mark.parametrize("asked", ["--help", "-h", "help"])
def test_help_lists_every_benchmark(asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main([asked]) == 0
    told = capsys.readouterr()
    assert not told.err
    assert [name for name in (*bench.ALL, *bench.WITH_OPTIONS) if name not in told.out] == []


def test_an_unknown_name_runs_nothing_and_says_what_there_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    monkeypatch.setattr(bench, "ALL", {"latency": lambda: ran.append("latency")})
    assert bench.main(["latency", "speed"]) == 2
    told = capsys.readouterr()
    assert "no benchmark 'speed'" in told.err and "latency" in told.err
    assert ran == []
    assert bench.main(["latency"]) == 0
    assert ran == ["latency"]


def test_one_with_options_has_the_rest_of_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(bench, "WITH_OPTIONS", {"turn": asked.append})
    assert bench.main(["turn", "--tasks", "5"]) == 0
    assert asked == [["--tasks", "5"]]


def test_the_exit_status_is_the_process_own() -> None:
    command = [sys.executable, "-m", "bench", "nonsense"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("no benchmark 'nonsense'")
