"""A broker's own key, and the list of those that it lets in, as it stands now."""

from __future__ import annotations

from collections.abc import Iterable

from raftwork.broker.access.access_list import AccessList, Grant, read_access
from raftwork.errors import AccessListRefused
from raftwork.keys import Key, Role


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

    @property
    def digest(self) -> str:
        """Of the list; the same on brokers whose lists say the same."""
        return self._list.digest

    def grant(self, public: str) -> Grant | None:
        """What that key is for; None if it is not let in."""
        return self._list.grants.get(public)

    def knows(self, public: str) -> bool:
        """Whether that key is let in."""
        return public in self._list.grants

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
        return frozenset(public for public in before if before[public] != now.get(public))

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
