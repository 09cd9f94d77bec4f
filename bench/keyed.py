"""The keys of a cluster that is measured, as `raftwork keys` would make them."""

from collections.abc import Iterable
from pathlib import Path

from raftwork.broker.access.access_list import Grant
from raftwork.broker.access.edit_access import allowed, write_access
from raftwork.keys import Key, Role, new_key, write_key

#: Of the client and the worker of a benchmark.
HONEST = "honest"


def make_keys(directory: Path, names: Iterable[str]) -> Path:
    """The brokers' keys and one for everybody else, NAME.key each, and access.toml.

    Returns the file for RAFTWORK_KEY.
    """
    brokers = [new_key(name, [Role.PEER]) for name in names]
    known = {key.name: (key.public,) for key in brokers}
    honest = new_key(HONEST, [Role.ADMIN, Role.WORKER], brokers=known)
    text, access = "", str(directory / "access.toml")
    for key in (*brokers, honest):
        write_key(key, str(directory / f"{key.name}.key"))
        text = allowed(text, access, Grant(key.name, key.roles), key.public)
    write_access(access, text)
    return directory / f"{HONEST}.key"


def stranger(known: Key) -> Key:
    """A key that is not let in, of somebody who knows the brokers' public keys."""
    return new_key("stranger", [Role.ADMIN], brokers=known.brokers)
