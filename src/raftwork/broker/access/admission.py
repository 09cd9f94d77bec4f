"""A broker's own key, and the list of those that it lets in, as it stands now.

The process that answers HTTP beside a broker asks all brokers for their status, and must not have
the broker's key for that: whoever breaks into it could vote. So its broker makes a key for it at
each start, hands it over by a pipe, and tells the other brokers in its hello. It is in no file and
in no list, ends with its broker, and goes if its broker's own key is let in no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from raftwork.broker.access.access_list import AccessList, Grant, read_access
from raftwork.errors import AccessListRefused
from raftwork.keys import Key, Role, decoded, new_key

#: What such a process may: with no queue there is nothing left of a reader's rights but status.
_HTTP: Final = Grant("http", frozenset({Role.READER}), ())


class Admission:
    """Of one broker. `reload` replaces the list; everything else asks it anew each time."""

    def __init__(self, key: Key, file: str, brokers: Iterable[str]) -> None:
        """`file` is the access list, `brokers` the names of the whole cluster.

        Raises AccessListRefused, also for a list without one of the brokers: nobody could reach it.
        """
        self.key = key
        self.file = file
        self._brokers = tuple(brokers)
        self._list = self._read()
        #: Of each other broker, which of its keys was tried last.
        self._tried: dict[str, int] = {}
        #: The key of the process that answers HTTP beside this broker.
        self.http_key = new_key(_HTTP.name, _HTTP.roles)
        #: The public keys of all such processes, by their brokers' names.
        self._http = {key.name: self.http_key.public}

    @property
    def digest(self) -> str:
        """Of the list; the same on brokers whose lists say the same."""
        return self._list.digest

    def grant(self, public: str) -> Grant | None:
        """What that key is for; None if it is not let in."""
        found = self._list.grants.get(public)
        return _HTTP if found is None and public in self._http.values() else found

    def knows(self, public: str) -> bool:
        """Whether that key is let in."""
        return self.grant(public) is not None

    def tell_http(self, broker: str, public: str) -> None:
        """That broker says which key the process beside it has; empty: it has none."""
        self._http.pop(broker, None)
        with suppress(ValueError):
            decoded(public)
            self._http[broker] = public

    def peer_key(self, name: str) -> str | None:
        """A public key of that broker, the next one at each call; None if it has none."""
        keys = self._list.peer_keys(name)
        if not keys:
            return None
        self._tried[name] = tried = self._tried.get(name, -1) + 1
        return keys[tried % len(keys)]

    def peer_keys(self, name: str) -> tuple[str, ...]:
        """All public keys of that broker."""
        return self._list.peer_keys(name)

    def reload(self) -> frozenset[str]:
        """Read the list again; the public keys that are for something else now, or for nothing.

        Raises AccessListRefused, and then the list stays as it was.
        """
        before, self._list = self._list.grants, self._read()
        now = self._list.grants
        changed = {public for public in before if before[public] != now.get(public)}
        # What a broker has told us under a key that is gone it has to tell us again.
        brokers = {before[public].name for public in changed} - {self.key.name}
        changed |= {self._http.pop(name) for name in brokers & self._http.keys()}
        return frozenset(changed)

    def _read(self) -> AccessList:
        found = read_access(self.file)
        for name in self._brokers:
            if not found.peer_keys(name):
                raise AccessListRefused(
                    f"{self.file}: the broker {name} has no key in it: raftwork keys allow its key"
                )
        mine = found.grants.get(self.key.public)
        if mine is None or mine.name != self.key.name or Role.PEER not in mine.roles:
            raise AccessListRefused(
                f"{self.file}: the key {self.key.name}, {self.key.public}, is not in it as a"
                " broker's: raftwork keys allow it"
            )
        return found
