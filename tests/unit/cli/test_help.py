"""`--help` fits 80 columns, says what each command is for, and shows how it is typed (X13)."""

import os
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from raftwork.cli import main, values


def commands(command: click.Command, *path: str) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, *path, name)


ALL = list(commands(main))


def told(path: tuple[str, ...]) -> list[str]:
    done = CliRunner().invoke(main, [*path, "--help"], prog_name="raftwork", terminal_width=80)
    assert done.exit_code == 0
    return done.output.splitlines()


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_fits_80_columns_and_has_an_example(path: tuple[str, ...]) -> None:
    lines = told(path)
    assert max(map(len, lines)) <= 80
    example = next(n for n, line in enumerate(lines) if line.strip().startswith("Example"))
    assert lines[example + 1].startswith("    raftwork " + " ".join(path[:1]))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_instants_and_durations_are_read_alike_everywhere(path: tuple[str, ...]) -> None:
    """With a zone, whoever takes them; NaN is no number of seconds."""
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    for each in command.params:
        instant = each.metavar == "ISO" or each.name in ("a", "b")
        assert (each.callback is values.instant) == instant, each.name
        plain = each.type is click.FLOAT
        assert not plain, f"{each.name}: of seconds there is values.Seconds"


@pytest.mark.parametrize("path", [(), ("queue",), ("dead",), ("schedule",)], ids=" ".join)
def test_no_summary_is_cut_off(path: tuple[str, ...]) -> None:
    lines = told(path)
    summaries = lines[lines.index("Commands:") + 1 :]
    assert len(summaries) == sum(len(p) == len(path) + 1 and p[: len(path)] == path for p in ALL)
    assert not [line for line in summaries if line.endswith("...")]


def test_a_terminal_that_lacks_a_character_is_shown_its_number() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "raftwork", "enqueue", "--help"],
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"--brokers HOST:PORT,\\u2026" in done.stdout


def test_an_option_that_is_none_is_answered_with_those_there_are() -> None:
    done = CliRunner().invoke(main, ["enqueue", "t.add", "--delayed", "5"])
    assert done.exit_code == 2
    assert (
        "No such option: --delayed; there are --at, --broadcast, --brokers, --deadline, "
        in done.output
    )
