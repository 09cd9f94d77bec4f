"""Changes to an access list, as text: what people wrote in it stays as they wrote it.

A name that is revoked keeps its table, without keys: its next key has the rates, queues and
comments of the one before, and nobody has to remember them while a key has leaked.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from raftwork.broker.access.access_list import (
    ALL_QUEUES,
    KEYS_A_NAME_MAX,
    AccessList,
    Grant,
    parse_access,
    table_lines,
)
from raftwork.errors import AccessListRefused
from raftwork.keys import put_in_place

_HEAD: Final = "# The keys that brokers let in. Brokers read it again on SIGHUP.\n"
#: A field whose value is on its line: that, the value, and what is behind it.
_FIELD: Final = r"(\s*{}\s*=\s*)(\[[^\]#]*\]|\"[^\"]*\"|'[^']*')(\s*(?:#.*)?)$"


def allowed(text: str, file: str, grant: Grant, public: str) -> str:
    """The list with that key in it. Raises AccessListRefused.

    A name that is in it has one key more, and all else of it stays: the oldest key goes if there
    are too many. What it is for is taken from `grant` only where it has no key.
    """
    known = parse_access(text, file)
    if public in known.grants:
        if known.grants[public].name != grant.name:
            raise AccessListRefused(f"{file}: this key is that of {known.grants[public].name}")
        return text
    old = known.names.get(grant.name)
    mine = keys_in(known, grant.name)
    if old is None:
        changed = (text or _HEAD).rstrip("\n") + "\n\n" + "\n".join(_table(grant, [public])) + "\n"
        return _checked(changed, file, known, grant, [public])
    if mine and (old.roles, old.queues) != (grant.roles, grant.queues):
        raise AccessListRefused(
            f"{file}: {grant.name} is in it for {_said(old)}, and this key is for"
            f" {_said(grant)}; edit the list, or revoke {grant.name} first"
        )
    table = _Table(text, file, grant.name)
    if not mine:
        table.change("role", _array(sorted(grant.roles)), same=old.roles == grant.roles)
        table.change("queues", _array(grant.queues), same=old.queues == grant.queues)
    keys = [*mine, public][-KEYS_A_NAME_MAX:]
    table.change("keys", _array(keys))
    meant = replace(old, roles=grant.roles, queues=grant.queues)
    return _checked(table.text, file, known, meant, keys)


def revoked(text: str, file: str, name: str) -> str:
    """The list without the keys of that name. Raises AccessListRefused if it has none."""
    known = parse_access(text, file)
    if not keys_in(known, name):
        raise AccessListRefused(f"{file}: {name} has no key in it")
    table = _Table(text, file, name)
    table.clear_keys()
    return _checked(table.text, file, known, known.names[name], [])


def keys_in(known: AccessList, name: str) -> list[str]:
    """The public keys of a name."""
    return [public for public, each in known.grants.items() if each.name == name]


def write_access(file: str, text: str) -> None:
    """Replace the list as a whole: no broker may find half of one. Raises OSError."""
    unfinished = f"{file}.{os.getpid()}.new"
    with open(unfinished, "w", encoding="utf-8", newline="") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    put_in_place(unfinished, file)


def _checked(text: str, file: str, before: AccessList, grant: Grant, keys: Iterable[str]) -> str:
    """The changed text, if it says this, and of all others what it said before."""
    found = parse_access(text, file)  # what cannot be read is not written
    meant = {public: each for public, each in before.grants.items() if each.name != grant.name}
    meant |= dict.fromkeys(keys, grant)
    if found.grants != meant or found.names != {**before.names, grant.name: grant}:
        raise AccessListRefused(f"{file}: {grant.name} is not written in a known way; edit it")
    return text


class _Table:
    """The table of a name, line by line."""

    def __init__(self, text: str, file: str, name: str) -> None:
        self._lines = text.split("\n")
        self._file, self._name = file, name
        found = table_lines(self._lines, name)
        if found is None:
            raise AccessListRefused(
                f"{file}: {name} is not written as a table [keys.{name}]; edit it"
            )
        self._where = found

    @property
    def text(self) -> str:
        """As it is now."""
        return "\n".join(self._lines)

    def change(self, field: str, value: str, *, same: bool = False) -> None:
        """Write another value of a field on its line; one that is not there comes first."""
        if same:
            return
        for number in self._where:
            found = re.match(_FIELD.format(field), self._lines[number])
            if found is not None:
                self._lines[number] = f"{found[1]}{value}{found[3]}"
                return
            if re.match(rf"\s*{field}\s*=", self._lines[number]):
                raise AccessListRefused(
                    f"{self._file}: the {field} of {self._name} are not on one line; edit them"
                )
        self._lines.insert(self._where.start + 1, f"{field} = {value}")
        self._where = range(self._where.start, self._where.stop + 1)

    def clear_keys(self) -> None:
        """Leave none, on however many lines they are."""
        begin = re.compile(r"\s*keys\s*=\s*\[")
        for first in self._where:
            if begin.match(self._lines[first]):
                break
        else:
            return
        for last in range(first, self._where.stop):
            if "]" in self._lines[last].partition("#")[0]:
                behind = self._lines[last].partition("]")[2]
                before = begin.match(self._lines[first])
                assert before is not None
                self._lines[first : last + 1] = [f"{before[0]}]{behind}"]
                return


def _table(grant: Grant, keys: Iterable[str]) -> list[str]:
    lines = [f"[keys.{_quoted(grant.name)}]", f"role = {_array(sorted(grant.roles))}"]
    if grant.queues != ALL_QUEUES:
        lines.append(f"queues = {_array(grant.queues)}")
    return [*lines, f"keys = {_array(keys)}"]


def _said(grant: Grant) -> str:
    return f"{', '.join(sorted(grant.roles))} of {', '.join(grant.queues)}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _array(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(_quoted, texts))}]"
