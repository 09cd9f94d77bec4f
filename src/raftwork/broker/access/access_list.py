"""`access.toml`: the public keys that brokers let in, and what each is for.

    [keys.mailer]
    role = "worker"
    queues = ["mail.*"]
    keys = ["rq3…="]

One table a name. It has two keys while one replaces the other, and none once it is revoked: what it
was for stands there for its next key. Unknown fields are refused, and
every error names the line: a typo must not let anybody in, nor keep anybody out unnoticed. It holds
no secrets.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from raftwork.errors import AccessListRefused
from raftwork.keys import Role, check_name, keys_of, roles_of, texts_of

#: While one replaces the other.
KEYS_A_NAME_MAX: Final = 2
_FIELDS: Final = frozenset({"role", "queues", "keys", "tasks_per_second", "bytes_per_second"})
ALL_QUEUES: Final = ("*",)


@dataclass(frozen=True, slots=True)
class Grant:
    """What the keys of one name are for."""

    name: str
    roles: frozenset[Role]
    #: Patterns of the queues that it may deal with, as of file names.
    queues: tuple[str, ...] = ALL_QUEUES
    #: What it may enqueue, on the average; 0 is no limit.
    tasks_per_second: int = 0
    bytes_per_second: int = 0

    @property
    def confined(self) -> bool:
        """Whether there are queues that it may not deal with."""
        return "*" not in self.queues


@dataclass(frozen=True, slots=True)
class AccessList:
    """Everybody who is let in, by public key."""

    grants: Mapping[str, Grant] = field(default_factory=dict)
    #: To compare the lists of brokers: equal where they say the same.
    digest: str = ""
    #: By name, also of those that have no key now.
    names: Mapping[str, Grant] = field(default_factory=dict)

    def peer_keys(self, name: str) -> tuple[str, ...]:
        """The public keys of the broker called `name`."""
        return tuple(
            public
            for public, grant in self.grants.items()
            if grant.name == name and Role.PEER in grant.roles
        )

    @property
    def broker_keys(self) -> dict[str, tuple[str, ...]]:
        """The public keys of all brokers, by name."""
        peers = (grant.name for grant in self.grants.values() if Role.PEER in grant.roles)
        return {name: self.peer_keys(name) for name in dict.fromkeys(peers)}


def parse_access(text: str, file: str) -> AccessList:
    """The list in that text. Raises AccessListRefused."""
    lines = _Lines(text, file)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise AccessListRefused(f"{file}: {error}") from None
    for name in document.keys() - {"keys"}:
        raise lines.refused(f"no table {name!r} is known; each key has a table [keys.NAME]", name)
    names = document.get("keys", {})
    if not isinstance(names, dict):
        raise lines.refused("keys must be tables, [keys.NAME] each", "keys")
    grants: dict[str, Grant] = {}
    known: dict[str, Grant] = {}
    for name, values in names.items():
        grant, public_keys = _of_name(lines, name, values)
        known[name] = grant
        for public in public_keys:
            if public in grants:
                other = grants[public].name
                raise lines.refused(f"the key of {name} is that of {other}, too", name, "keys")
            grants[public] = grant
    return AccessList(grants, _digest(grants), known)


def read_access(file: str) -> AccessList:
    """The list in that file. Raises AccessListRefused, also where it cannot be read."""
    try:
        with open(file, encoding="utf-8") as opened:
            text = opened.read()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise AccessListRefused(f"{file}: cannot be read: {why}") from None
    return parse_access(text, file)


def _of_name(lines: _Lines, name: str, values: object) -> tuple[Grant, tuple[str, ...]]:
    if not isinstance(values, dict):
        raise lines.refused(f"{name} must be a table, [keys.{name}]", name)
    for unknown in values.keys() - _FIELDS:
        known = ", ".join(sorted(_FIELDS))
        text = f"[keys.{name}] has no field {unknown!r}; the fields are {known}"
        raise lines.refused(text, name, unknown)
    with lines.of(name):
        check_name(name)
    with lines.of(name, "role"):
        roles = roles_of(values.get("role"))
    with lines.of(name, "queues"):
        queues = texts_of("queues", values.get("queues", list(ALL_QUEUES)))
    with lines.of(name, "tasks_per_second"):
        tasks = _rate("tasks_per_second", values.get("tasks_per_second", 0))
    with lines.of(name, "bytes_per_second"):
        size = _rate("bytes_per_second", values.get("bytes_per_second", 0))
    with lines.of(name, "keys"):
        public_keys = _keys(name, values.get("keys"))
    return Grant(name, roles, queues, tasks, size), public_keys


def _keys(name: str, value: object) -> tuple[str, ...]:
    if value == []:
        return ()  # it is revoked
    found = keys_of(name, value)
    if len(found) > KEYS_A_NAME_MAX:
        raise ValueError(
            f"{name} has {len(found)} keys, and may have {KEYS_A_NAME_MAX}: the old one and the new"
            " one while they change"
        )
    return found


def _rate(what: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise ValueError(f"{what} must be an integer from 0 (no limit), got {value!r:.40}")
    return value


def _digest(grants: Mapping[str, Grant]) -> str:
    said = sorted(
        repr((public, g.name, sorted(g.roles), g.queues, g.tasks_per_second, g.bytes_per_second))
        for public, g in grants.items()
    )
    return hashlib.blake2b("\n".join(said).encode(), digest_size=8).hexdigest()


# ---- lines ---------------------------------------------------------------------------------------

_HEADER: Final = re.compile(r"\s*\[+\s*(.*?)\s*\]+\s*(#.*)?$")


class _Lines:
    """Where things stand in the text, for errors: the parser does not say."""

    def __init__(self, text: str, file: str) -> None:
        self._lines = text.splitlines()
        self._file = file

    def refused(self, text: str, name: str, field: str | None = None) -> AccessListRefused:
        """The error, with the line of that name's field, of its table, or of the name itself."""
        return AccessListRefused(f"{self._file}, line {self._line(name, field)}: {text}")

    @contextmanager
    def of(self, name: str, field: str | None = None) -> Iterator[None]:
        """A ValueError within is about that."""
        try:
            yield
        except ValueError as error:
            raise self.refused(str(error), name, field) from None

    def _line(self, name: str, field: str | None) -> int:
        table = table_lines(self._lines, name)
        if table is None:
            return next((n for n, line in enumerate(self._lines, 1) if name in line), 1)
        for number in range(table.start + 1, table.stop):
            if field is not None and self._lines[number].lstrip().startswith(field):
                return number + 1
        return table.start + 1


def table_lines(lines: list[str], name: str) -> range | None:
    """The lines of the table of that name, from 0; None if it is written in another way."""
    start = None
    for number, line in enumerate(lines):
        header = _HEADER.match(line)
        if header is None:
            continue
        if start is not None:
            return range(start, number)
        if _means(header[1], name):
            start = number
    return None if start is None else range(start, len(lines))


def _means(header: str, name: str) -> bool:
    """Whether `[header]` is the table of that name."""
    try:
        document = tomllib.loads(f"[{header}]")
    except tomllib.TOMLDecodeError:
        return False
    return document == {"keys": {name: {}}}
