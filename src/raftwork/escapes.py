"""Texts of users and of other machines, made so that a terminal shows them and obeys none.

They could move the cursor, fake a line, or turn the rest of it around. So what is not printable is
written as Python would in a string: `\\x1b`, `\\u202e`.
"""

import re


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


def visible_json(document: str, *, ascii_only: bool = False) -> str:
    """The same document in JSON, on one line, in which every character can be seen.

    Such a character can only stand within a string of it, where JSON has an escape for it.
    """
    if document.isprintable() and (document.isascii() or not ascii_only):
        return document
    return "".join(
        c if c.isprintable() and (c.isascii() or not ascii_only) else _json_escaped(c)
        for c in document
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _but_tabs(line: str) -> str:
    return "\t".join(map(visible, line.split("\t")))


def _json_escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return re.sub("(....)", r"\\u\1", units)
