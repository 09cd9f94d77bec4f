"""Everything that the commands print, and the only place that prints.

Names, ids and the texts of errors come from users and from other machines: see escapes.py.
"""

import codecs
import errno
import os
import re
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from raftwork.cli.tables import Column, layout
from raftwork.escapes import visible, visible_json, visible_lines

if TYPE_CHECKING:
    from rich.console import Console

#: How severe a line of a log is.
_LEVEL = re.compile(r"[\d:.TZ-]+ (WARNING|ERROR|CRITICAL) ")
_LEVELS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}


def out(line: str) -> None:
    """One line of a result, on stdout."""
    _write(visible(line))


def out_lines(text: str) -> None:
    """A result of several lines, on stdout."""
    _write(visible_lines(text))


def err(line: str) -> None:
    """One line of everything else, on stderr."""
    _write(visible(line), err=True)


def err_lines(text: str) -> None:
    """Several lines of everything else, on stderr."""
    _write(visible_lines(text), err=True)


def labelled(name: str, colour: str, line: str) -> None:
    """A line of the process called `name`, on stderr; warnings and errors stand out."""
    shown = visible(line)
    if _styled():
        level = _LEVEL.match(shown)
        shown = click.style(shown, fg=_LEVELS[level[1]]) if level else shown
        name = click.style(name, fg=colour, bold=True)
    _write(f"{name} | {shown}", err=True)


def _styled() -> bool:
    return _obeys_styles() and sys.stderr.isatty()


def new_screen() -> bool:
    """Clear the terminal on stdout to show a result anew; False if stdout is no terminal."""
    if not sys.stdout.isatty() or os.environ.get("TERM") in (None, "", "dumb"):
        return False
    click.echo("\x1b[H\x1b[2J", nl=False)
    return True


def out_document(document: str) -> None:
    """A JSON document on stdout, on one line."""
    utf_8 = codecs.lookup(_encoding(err=False)).name == "utf-8"
    _write(visible_json(document, ascii_only=not utf_8))


def out_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout, as wide as the terminal; whole and one line a row where there is none."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    shown = [[visible(cell) for cell in row] for row in rows]
    header, *lines = layout(columns, shown, width)
    if header:
        _write(header, bold=True)
    for line in lines:
        _write(line)


def progress_console() -> "Console":
    """For a progress bar on stderr. What is printed above it goes through `visible_lines` first."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 task`, `2 tasks`; the plural has an s where no other is given."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def _write(text: str, *, err: bool = False, bold: bool = False) -> None:
    """Raises ClickException if stdout takes no more. What stderr does not take is lost."""
    encoding = _encoding(err=err)
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        click.echo(click.style(text, bold=True) if bold and _obeys_styles() else text, err=err)
    except OSError as error:
        if not err:
            raise _unwritten(error) from error


def _unwritten(error: OSError) -> Exception:
    """What to raise for a result that could not be written."""
    if error.errno == errno.EPIPE:
        return error  # the reader has enough, as `head` does: click ends without a word
    return click.ClickException(f"cannot write the result to stdout: {error.strerror}")


def _obeys_styles() -> bool:
    """Whether the terminal shows bold letters, and its user wants to see any."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in ("", "dumb")


def _encoding(*, err: bool) -> str:
    return getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
