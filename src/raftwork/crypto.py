"""Contents that brokers cannot read: `App(codec=Encryption([key]))`. Needs `raftwork[crypto]`.

1. Arguments, results, checkpoints and the texts of failures are sealed before they leave a program
   or a worker, and opened where they arrive. Names of tasks and queues, options, tags, keys, ids,
   progress, and the names of exceptions are not: brokers work with these.
2. To seal is deterministic (AES-SIV): the cluster holds a request that is sent again against the
   first one, and the same call under the same id must be the same bytes.
3. What is sealed is bound to the task's id, its name and queue, and to what it is: a broker cannot
   give one task the arguments or the result of another.
4. The first key seals, all of them open. So a key is replaced by adding the new one behind the old
   one everywhere, then putting it first, then dropping the old one once nothing is kept under it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from raftwork.errors import CannotDecrypt
from raftwork.sealing import SEALED, Bound, is_sealed

KEY_BYTES: Final = 32
_NAME_BYTES: Final = 4
_HEAD_BYTES: Final = 1 + _NAME_BYTES
_RETRY: Final = "~"
#: Characters of a task's id.
_ID_MAX: Final = 255


class Encryption:
    """A codec that encrypts with keys of 32 bytes; `raftwork keys secret` prints one in base64.

    With `plain=True` it also opens what is not encrypted, for the time in which programs are given
    keys; by default that is refused, as anybody could have made it.
    """

    def __init__(self, keys: Sequence[bytes], *, plain: bool = False) -> None:
        if not keys:
            raise ValueError("at least one key is required")
        if any(type(key) is not bytes or len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"keys must be a list, each {KEY_BYTES} bytes")
        self._plain = plain
        self._names = [_name(key) for key in keys]
        self._ciphers = {name: AESSIV(key) for name, key in zip(self._names, keys, strict=True)}
        self._print = blake2b(b"fingerprint", key=keys[0]).digest()

    def __repr__(self) -> str:
        return f"<Encryption {' '.join(name.hex() for name in self._names)}>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("an Encryption does not leave its process: it has secrets")

    def seal(self, data: bytes, bound: Bound) -> bytes:
        """The contents, for nobody without the key, and for that purpose alone."""
        name = self._names[0]
        task = bound.task.encode()
        head = SEALED + name + bytes([len(task)]) + task
        return head + self._ciphers[name].encrypt(data, _associated(head, bound))

    def open(self, data: bytes, bound: Bound) -> bytes:
        """The contents again. Raises CannotDecrypt."""
        if not is_sealed(data):
            if self._plain:
                return data
            raise CannotDecrypt(
                f"the {bound.what} of task {bound.task} are not encrypted, so anybody could have"
                " made them; Encryption(keys, plain=True) takes them all the same"
            )
        cipher = self._ciphers.get(data[1:_HEAD_BYTES])
        if cipher is None:
            raise CannotDecrypt(
                f"the {bound.what} of task {bound.task} are encrypted with a key that is not here"
                f" ({data[1:_HEAD_BYTES].hex()}; there are"
                f" {', '.join(name.hex() for name in self._names)})"
            )
        length = data[_HEAD_BYTES] if len(data) > _HEAD_BYTES else 0
        head, sealed = data[: _HEAD_BYTES + 1 + length], data[_HEAD_BYTES + 1 + length :]
        task = head[_HEAD_BYTES + 1 :].decode(errors="replace")
        # Of a dead task that is retried, the arguments are those of its first life.
        if bound.task == task or bound.task.startswith(task + _RETRY):
            with suppress(InvalidTag, ValueError):
                return cipher.decrypt(sealed, _associated(head, bound))
        raise CannotDecrypt(
            f"the {bound.what} of task {bound.task} were changed, or are another task's"
        )

    def fingerprint(self, text: str) -> str:
        """The same for the same text, and telling nothing of it without the key."""
        return blake2b(text.encode(), key=self._print[:32], digest_size=20).hexdigest()

    def retry_id(self, task: str, new: str) -> str:
        """The id under which a dead task may be tried again with what is sealed for it."""
        made = f"{task}{_RETRY}{new}"
        return made if len(made) <= _ID_MAX else new


def _name(key: bytes) -> bytes:
    """By which a key is known; it tells nothing of the key."""
    return blake2b(b"raftwork key name", key=key, digest_size=_NAME_BYTES).digest()


def _associated(head: bytes, bound: Bound) -> list[bytes]:
    return [head, *(part.encode() for part in (bound.what, bound.name, bound.queue))]
