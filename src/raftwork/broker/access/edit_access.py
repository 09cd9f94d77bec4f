"""Changes to an access list, as text: what people wrote in it stays as they wrote it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from raftwork.broker.access.access_list import (
    ALL_QUEUES,
    KEYS_A_NAME_MAX,
    Grant,
    parse_access,
    table_lines,
)
from raftwork.errors import AccessListRefused

_HEAD: Final = "# The keys that brokers let in. Brokers read it again on SIGHUP.\n"


def allowed(text: str, file: str, grant: Grant, public: str) -> str:
    """The list with that key in it. Raises AccessListRefused.

    A name that is in it keeps its roles and queues, and has one key more: the oldest goes if there
    are too many.
    """
    known = parse_access(text, file).grants
    if public in known:
        if known[public].name != grant.name:
            raise AccessListRefused(f"{file}: this key is that of {known[public].name}")
        return text
    mine = [other for other, each in known.items() if each.name == grant.name]
    if not mine:
        changed = (text or _HEAD).rstrip("\n") + "\n\n" + "\n".join(_table(grant, [public])) + "\n"
    else:
        old = known[mine[0]]
        if (old.roles, old.queues) != (grant.roles, grant.queues):
            raise AccessListRefused(
                f"{file}: {grant.name} is in it for {_said(old)}, and this key is for"
                f" {_said(grant)}; edit the list, or revoke {grant.name} first"
            )
        changed = _replaced(text, file, old, [*mine, public][-KEYS_A_NAME_MAX:])
    parse_access(changed, file)  # what cannot be read is not written
    return changed


def revoked(text: str, file: str, name: str) -> str:
    """The list without the keys of that name. Raises AccessListRefused if it has none."""
    known = {each.name for each in parse_access(text, file).grants.values()}
    if name not in known:
        raise AccessListRefused(f"{file}: {name} has no key in it")
    lines = text.splitlines()
    where = table_lines(lines, name)
    if where is None:
        raise AccessListRefused(f"{file}: {name} is not written as a table [keys.{name}]; edit it")
    del lines[where.start : where.stop]
    changed = "\n".join(lines).rstrip("\n") + "\n"
    if name in {each.name for each in parse_access(changed, file).grants.values()}:
        raise AccessListRefused(f"{file}: {name} is in it more than once; edit it")
    return changed


def write_access(file: str, text: str) -> None:
    """Replace the list as a whole: no broker may find half of one. Raises OSError."""
    unfinished = f"{file}.{os.getpid()}.new"
    try:
        with open(unfinished, "w", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            with suppress(OSError):  # the mode of the one that it replaces
                os.fchmod(opened.fileno(), os.stat(file).st_mode & 0o777)
            os.fsync(opened.fileno())
        os.replace(unfinished, file)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(unfinished)


def _table(grant: Grant, keys: Iterable[str]) -> list[str]:
    lines = [f"[keys.{_quoted(grant.name)}]", f"role = {_array(sorted(grant.roles))}"]
    if grant.queues != ALL_QUEUES:
        lines.append(f"queues = {_array(grant.queues)}")
    return [*lines, f"keys = {_array(keys)}"]


def _replaced(text: str, file: str, grant: Grant, keys: Iterable[str]) -> str:
    lines = text.splitlines()
    where = table_lines(lines, grant.name)
    for number in where or ():
        line = lines[number]
        if line.lstrip().startswith("keys") and "[" in line and "]" in line:
            lines[number] = f"keys = {_array(keys)}"
            return "\n".join(lines) + "\n"
    raise AccessListRefused(f"{file}: the keys of {grant.name} are not on one line; edit them")


def _said(grant: Grant) -> str:
    return f"{', '.join(sorted(grant.roles))} of {', '.join(grant.queues)}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _array(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(_quoted, texts))}]"
