"""Every command and option that a page, a unit or a message names is one that there is."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from raftwork.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(path for path in (ROOT / "deploy").rglob("*") if path.is_file()),
]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
_FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
#: Blocks of what is typed, and not of programs, or what was printed.
_TYPED = re.compile(r" *```(sh|bash|console|ini|yaml|dockerfile)\b")
_INLINE = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)")
#: A line of a shell, or of a unit, up to what ends a command there.
_CALL = re.compile(r"(?:^|[\s/(=\"'])raftwork((?:[ \t]+[^\s|;&)#]+)+)", re.MULTILINE)
#: Words of commands, where something else than what is to be typed begins.
_WORD = re.compile(r"[a-z][a-z0-9-]*")


def calls(path: Path) -> Iterator[str]:
    """What is behind `raftwork` wherever it is typed."""
    text = path.read_text().replace("\\\n", " ")
    if path.suffix == ".py":
        yield from re.findall(r"`raftwork ([^`\n]+)`", text)
        # A docstring's example of a command; and what a message says to do.
        yield from re.findall(r"^ +raftwork ([^\n|;&]+)$", text, re.MULTILINE)
        yield from re.findall(r": raftwork ([^\n\"|;&(]+)", text)
        return
    if path.suffix == ".md":
        spans = [" ".join(each.split()) for each in _INLINE.findall(_FENCE.sub("", text))]
        fences = [each for each in _FENCE.findall(text) if _TYPED.match(each)]
        text = "\n".join([*fences, *(each for each in spans if each.startswith("raftwork "))])
    yield from _CALL.findall(text)


def wrong(call: str) -> str:
    """What there is not of a call; empty if all of it is there."""
    lexer = shlex.shlex(call, posix=True, punctuation_chars="")
    lexer.whitespace_split, lexer.commenters = True, "#"
    try:
        words = list(lexer)
    except ValueError:
        words = call.split()
    command: click.Command = main
    options = _options(command)
    for word in words:
        if word.startswith("-") and word.strip("-"):
            name = re.match(r"-{1,2}[A-Za-z0-9-]+", word)
            if name is None or name[0] in options or not word.startswith("--"):
                continue
            return f"{_name(command)} has no {name[0]}"
        if isinstance(command, click.Group):
            below = [each for each in re.split(r"[|,]", word) if _WORD.fullmatch(each)]
            if not below or len(below) != len(re.split(r"[|,]", word)):
                return ""  # a placeholder, or words of a sentence
            found = {each: command.get_command(click.Context(command), each) for each in below}
            if missing := [each for each, there in found.items() if there is None]:
                return f"{_name(command)} has no command {missing[0]}"
            command = next(there for there in reversed(found.values()) if there is not None)
            options |= _options(command)
    return ""


def _name(command: click.Command) -> str:
    return "raftwork" if command is main else str(command.name)


def _options(command: click.Command) -> set[str]:
    found = {"--help", "-h"}
    for each in command.params:
        if isinstance(each, click.Option):
            found |= {*each.opts, *each.secondary_opts}
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_page_says_to_type_can_be_typed(path: Path) -> None:
    assert [(call, said) for call in calls(path) if (said := wrong(call))] == []


def test_what_messages_and_docstrings_say_to_type_can_be_typed() -> None:
    found = [
        (path.name, call, said) for path in SOURCES for call in calls(path) if (said := wrong(call))
    ]
    assert found == []


def test_these_checks_find_something() -> None:
    """Or a regular expression that meets nothing would pass for good."""
    assert sum(1 for path in PAGES for _ in calls(path)) > 300
    assert sum(1 for path in SOURCES for _ in calls(path)) > 60
    assert wrong(" cluster-settings") == "raftwork has no command cluster-settings"
    assert wrong(" queue purge mail --all") == "purge has no --all"
    assert wrong(" keys show|allow|forget") == "keys has no command forget"
    assert wrong(" queue set mail --max-length=5") == ""
    assert wrong(" COMMAND --help") == ""
