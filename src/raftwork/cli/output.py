"""Everything that the commands print, and the only place that prints.

Names, ids and the texts of errors come from users and from other machines. On a terminal they
could move the cursor, fake a line, or turn the rest of it around. So whatever is not printable is
shown as Python would write it in a string: `\\x1b`, `\\u202e`. A document in JSON stays the same
document.
"""

import codecs
import re
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from raftwork.cli.tables import Column, layout

if TYPE_CHECKING:
    from rich.console import Console


def visible(text: str) -> str:
    """One line in which every character can be seen.

    What str.isprintable denies is escaped: control characters, line ends among them, those that
    change the direction of writing or have no width, and lone surrogates.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def visible_lines(text: str) -> str:
    """As `visible`, but lines stay lines and tabs tabs: for a traceback."""
    return "\n".join(map(_but_tabs, text.split("\n")))


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


def out_document(document: str) -> None:
    """A JSON document on stdout, on one line.

    A character that could not be seen, or not be encoded, can only stand within a string of it:
    there JSON has an escape for it.
    """
    utf_8 = codecs.lookup(_encoding(err=False)).name == "utf-8"
    if not (document.isprintable() and (utf_8 or document.isascii())):
        document = "".join(
            c if c.isprintable() and (utf_8 or c.isascii()) else _json_escaped(c) for c in document
        )
    _write(document)


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
    encoding = _encoding(err=err)
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    click.echo(click.style(text, bold=True) if bold else text, err=err)


def _encoding(*, err: bool) -> str:
    return getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _but_tabs(line: str) -> str:
    return "\t".join(map(visible, line.split("\t")))


def _json_escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return re.sub("(....)", r"\\u\1", units)
