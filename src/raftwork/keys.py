"""Key files: who a process is, and which brokers it trusts. One file an identity.

1. A file holds a secret, so it is made for its owner alone, and one that others can read is
   refused: whoever has read it can act in its name.
2. The secret is in no text that this module makes: no repr, no error.
3. Keys are those of CURVE (Curve25519), 32 bytes each, written in base64.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from raftwork.errors import KeyRefused

KEY_BYTES: Final = 32
#: Names are part of messages, logs and files.
NAME_BYTES_MAX: Final = 255
#: Far more than any file of these has.
_FILE_BYTES_MAX: Final = 1024 * 1024
#: A key's file says so within these.
_HEAD_BYTES: Final = 64 * 1024
_FIELDS: Final = frozenset({"name", "role", "queues", "public", "secret", "brokers"})


class Role(StrEnum):
    """What a key is for; which messages that allows stands in `broker/access/rights.py`."""

    PEER = "peer"
    WORKER = "worker"
    CLIENT = "client"
    READER = "reader"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """One identity, as its file has it."""

    name: str
    roles: frozenset[Role]
    #: Patterns of the queues that it is for, as of file names.
    queues: tuple[str, ...]
    #: In base64.
    public: str
    secret: bytes
    #: The public keys of each broker, by its name; two while one of them is replaced.
    brokers: Mapping[str, tuple[str, ...]]
    #: Where it was read from.
    file: str = ""

    def __repr__(self) -> str:
        return f"<Key {self.name} {self.public}>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a key does not leave its process; its file can be named instead")

    @property
    def broker_keys(self) -> tuple[str, ...]:
        """All brokers' public keys, in the order of the file."""
        return tuple(public for keys in self.brokers.values() for public in keys)


def encoded(key: bytes) -> str:
    """A key as it is written."""
    return base64.b64encode(key).decode()


def decoded(text: str) -> bytes:
    """The bytes of a key. Raises ValueError, with nothing of the text in it."""
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    # What another text stands for, too, would be another key to whoever compares texts.
    if len(found) != KEY_BYTES or encoded(found) != text:
        raise ValueError(f"a key must be {KEY_BYTES} bytes in base64, 44 characters")
    return found


def new_key(
    name: str,
    roles: Iterable[Role],
    queues: Sequence[str] = ("*",),
    brokers: Mapping[str, tuple[str, ...]] | None = None,
) -> Key:
    """A key that nobody had before. Raises ValueError for a name that cannot be one."""
    import zmq
    from zmq.utils import z85

    check_name(name)
    public, secret = (z85.decode(half) for half in zmq.curve_keypair())
    return Key(name, frozenset(roles), tuple(queues), encoded(public), secret, brokers or {})


def handed_key(name: str, secret: bytes) -> Key:
    """The key of that secret, which another process made and handed to this one."""
    return Key(name, frozenset({Role.READER}), (), _public_of(secret), secret, {})


def check_name(name: str) -> str:
    """The name. Raises ValueError unless it can be one."""
    if not name or len(name.encode()) > NAME_BYTES_MAX or not name.isprintable() or " " in name:
        raise ValueError(
            f"{name!r} is no name: printable, no spaces, {NAME_BYTES_MAX} bytes at most"
        )
    return name


# ---- files ---------------------------------------------------------------------------------------


def write_key(key: Key, path: str) -> None:
    """Make the file, readable for its owner alone. Raises OSError, also if there is one."""
    lines = [
        f"# The key of {key.name}. Whoever can read this file can act in its name.",
        f"name = {_quoted(key.name)}",
        f"role = {_array(sorted(key.roles))}",
        f"queues = {_array(key.queues)}",
        f"public = {_quoted(key.public)}",
        f"secret = {_quoted(encoded(key.secret))}",
        "",
        "# The brokers that it trusts, by their public keys.",
        "[brokers]",
        *(f"{_quoted(name)} = {_array(keys)}" for name, keys in key.brokers.items()),
    ]
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        os.fsync(descriptor)


def replace_key(key: Key, path: str) -> None:
    """Put it in the place of the file, at once, with its owner and mode. Raises OSError."""
    new = f"{path}.{os.getpid()}.new"
    write_key(key, new)
    put_in_place(new, path)


def put_in_place(new: str, path: str) -> None:
    """Put a finished file in the place of the one there, if any, with its owner and mode.

    With another owner, or another mode, whoever reads the file no longer could. Raises OSError,
    and then the file is as it was.
    """
    try:
        with suppress(FileNotFoundError):
            found = os.stat(path)
            made = os.stat(new)
            if (made.st_uid, made.st_gid) != (found.st_uid, found.st_gid):
                os.chown(new, found.st_uid, found.st_gid)
            os.chmod(new, stat.S_IMODE(found.st_mode))
        os.replace(new, os.path.realpath(path))  # where it is a link, what that leads to
    except BaseException:
        os.unlink(new)
        raise


def read_key(path: str | os.PathLike[str]) -> Key:
    """The key in a file. Raises KeyRefused, which says why it cannot be used."""
    where = os.fspath(path)
    try:
        text = _read(where)
    except OSError as error:
        raise KeyRefused(f"the key {where} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise KeyRefused(f"the key {where} is no text in UTF-8") from None
    try:
        return _parsed(text, where)
    except tomllib.TOMLDecodeError as error:
        raise KeyRefused(f"the key {where} is no TOML: {_where_only(error)}") from None
    except ValueError as error:
        raise KeyRefused(f"the key {where}: {error}") from None


def renewed(key: Key) -> Key:
    """The key as its file has it by now; the same one where that says nothing else.

    What cannot be read then, or is not there, changes nothing: it may be about to be replaced.
    """
    if not key.file:
        return key
    try:
        found = read_key(key.file)
    except KeyRefused:
        return key
    return key if found == key else found


def is_key_file(path: str) -> bool:
    """Whether this names a file that holds a key, be it one that can be used or not."""
    try:
        with open(path, "rb") as file:
            return b"\nsecret" in file.read(_HEAD_BYTES)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False


def is_exposed(mode: int, owner: int, reader: int) -> bool:
    """Whether others than its owner and the user `reader` can read or change such a file."""
    # A group may read what another user owns: that is how Kubernetes mounts a secret.
    allowed = 0o700 if owner == reader else 0o740
    return bool(mode & ~allowed & 0o777)


def _read(path: str) -> str:
    with open(path, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise KeyRefused(f"the key {path} is no regular file")
        if is_exposed(found.st_mode, found.st_uid, os.geteuid()):
            raise KeyRefused(
                f"the key {path} can be read or changed by others (mode"
                f" {stat.S_IMODE(found.st_mode):04o}); if they are not to act in its name:"
                f" chmod 600 {path}"
            )
        return file.read(_FILE_BYTES_MAX).decode()


def _where_only(error: tomllib.TOMLDecodeError) -> str:
    """The place of a mistake: its text may quote the line, and that the secret."""
    _, found, place = str(error).rpartition("(at ")
    return f"see {place.rstrip(')')}" if found else "it is not complete"


def _parsed(text: str, path: str) -> Key:
    """Raises ValueError; only names of fields go into its text."""
    document: dict[str, object] = tomllib.loads(text)
    if len(document.keys() - _FIELDS):
        raise ValueError(f"it has a field that no key has; the fields are {_listed(_FIELDS)}")
    name = check_name(_text(document, "name"))
    public, secret = _text(document, "public"), decoded(_text(document, "secret"))
    decoded(public)
    if _public_of(secret) != public:
        raise ValueError("its public key is not that of its secret one; make a new key")
    brokers = document.get("brokers", {})
    if not isinstance(brokers, dict):
        raise ValueError("brokers must be a table, [brokers]")  # noqa: TRY004 - of a file's text
    return Key(
        name,
        roles_of(document.get("role")),
        texts_of("queues", document.get("queues", ["*"])),
        public,
        secret,
        {check_name(each): keys_of(each, keys) for each, keys in brokers.items()},
        path,
    )


def _public_of(secret: bytes) -> str:
    import zmq
    from zmq.utils import z85

    return encoded(z85.decode(zmq.curve_public(z85.encode(secret))))


def _text(document: Mapping[str, object], field: str) -> str:
    value = document.get(field)
    if isinstance(value, str):
        return value
    raise ValueError(f"{field} must be a string" if field in document else f"{field} is missing")


def read_secrets(path: str) -> list[bytes]:
    """The keys for contents in a file, one a line. Raises KeyRefused as `read_key` does."""
    try:
        lines = _read(path).split()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise KeyRefused(f"the keys in {path} cannot be read: {why}") from None
    try:
        found = [decoded(line) for line in lines]
    except ValueError as error:
        raise KeyRefused(f"{path}: {error}, one a line") from None
    if not found:
        raise KeyRefused(f"{path} has no key: raftwork keys secret prints one")
    return found


# ---- what key files and access lists have in common ---------------------------------------------


def roles_of(value: object) -> frozenset[Role]:
    """One role or several. Raises ValueError."""
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not given or not set(map(str, given)) <= set(Role):
        raise ValueError(f'role must be one or more of {_listed(Role)}, as in role = ["client"]')
    roles = frozenset(map(Role, given))
    if Role.PEER in roles and len(roles) > 1:
        raise ValueError('a broker\'s key is for nothing else: role = ["peer"]')
    return roles


def texts_of(field: str, value: object) -> tuple[str, ...]:
    """An array of strings that has some. Raises ValueError."""
    if not isinstance(value, list) or not value or not all(isinstance(v, str) and v for v in value):
        raise ValueError(f"{field} must be an array of strings")
    return tuple(value)


def keys_of(name: str, value: object) -> tuple[str, ...]:
    """Public keys of one name. Raises ValueError."""
    given = texts_of(f"the public keys of {name}", value)
    for public in given:
        decoded(public)
    return given


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _array(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(_quoted, texts))}]"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
