"""Contents that brokers cannot read: `App(codec=Encryption([key]))`. Needs `raftwork[crypto]`.

1. Arguments, results, checkpoints and the texts of failures are sealed before they leave a program
   or a worker, and opened where they arrive. Names of tasks and queues, options, tags, keys, ids,
   progress, and the names of exceptions are not: brokers work with these.
2. To seal is deterministic (AES-SIV): the cluster holds a request that is sent again against the
   first one, and the same call under the same id must be the same bytes.
3. What is sealed is bound to the task's id, its name and queue, and to what it is: a broker cannot
   give one task the arguments or the result of another. What belongs to a flow has the flow's mark,
   and what replaces a task has the task's (sealing.py): so a value on its way from one task to
   another is taken from tasks of the same flow alone, and a flow's value from its own. Lists of
   values are put together by brokers, which therefore decide what stands where in them. Arguments
   that may replace others are bound to the name and queue alone: which task they come to have is
   the leader's decision.
4. The first key seals, all of them open. So a key is replaced by adding the new one behind the old
   one everywhere, then putting it first, then dropping the old one once nothing is kept under it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

import msgpack
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from raftwork.errors import CannotDecrypt
from raftwork.sealing import (
    ARGUMENTS,
    MARK_BYTES,
    REPLACING,
    SCHEDULED,
    SEALED_TYPE,
    Bound,
    marks_of,
    sealed_body,
)

KEY_BYTES: Final = 32
_NAME_BYTES: Final = 4
#: Of the length of an id, which has four bytes a character at most.
_LENGTH_BYTES: Final = 2
_RETRY: Final = "~"
#: The id of a node of a flow that was retried: of the flow before that, and more.
_NODE_AGAIN: Final = re.compile(r"(.+)~[1-9][0-9]*/[1-9][0-9]*", re.DOTALL)
#: What the id of a task of a broadcast has more than the broadcast's.
_MEMBER: Final = re.compile(r"[.][1-9][0-9]*")
#: Between a schedule's id, and what makes a task's of it.
_TICK: Final = "@"
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
        head = _Head(self._names[0], bound.task, list(bound.marks or ())).pack()
        cipher = self._ciphers[self._names[0]]
        return _extension(head + cipher.encrypt(data, _associated(head, bound)))

    def open(self, data: bytes, bound: Bound) -> bytes:
        """The contents again. Raises CannotDecrypt."""
        body = sealed_body(data)
        if body is None:
            if self._plain:
                return data
            raise CannotDecrypt(
                f"the {bound.what} of task {bound.task} are not encrypted, so anybody could have"
                " made them; Encryption(keys, plain=True) takes them all the same"
            )
        cipher = self._ciphers.get(body[:_NAME_BYTES])
        if cipher is None:
            raise CannotDecrypt(
                f"the {bound.what} of task {bound.task} are encrypted with a key that is not here"
                f" ({body[:_NAME_BYTES].hex()}; there are"
                f" {', '.join(name.hex() for name in self._names)})"
            )
        head, size = _read_head(body)
        purposes = self._purposes(head, bound)
        if bound.what == ARGUMENTS:
            purposes.append(bound._replace(what=REPLACING))
        for purpose in purposes:
            try:
                return cipher.decrypt(body[size:], _associated(body[:size], purpose))
            except (InvalidTag, ValueError):
                continue
        raise CannotDecrypt(
            f"the {bound.what} of task {bound.task} were changed, or are another task's"
        )

    def _purposes(self, head: _Head, bound: Bound) -> list[Bound]:
        """For what it may have been sealed, if it may be used for this."""
        task = bound.task
        # Of a dead task that is retried, the arguments are those of its first life.
        if task == head.task or task.startswith(head.task + _RETRY):
            return [bound]
        if bound.what != ARGUMENTS:
            anybodys = bound.marks is None or (self._plain and not head.marks)
            ours = anybodys or not set(head.marks).isdisjoint(bound.marks or ())
            return [bound] if ours else []
        if task.startswith(head.task + _TICK):
            return [Bound(SCHEDULED, head.task)]
        if _MEMBER.fullmatch(task.removeprefix(head.task)) and task.startswith(head.task):
            return [bound]
        again = _NODE_AGAIN.fullmatch(task)
        ours = again is not None and not set(head.marks).isdisjoint(marks_of(again[1]))
        return [bound] if ours else []

    def marks(self, data: bytes) -> Sequence[bytes] | None:
        """Of what was opened; None if it was not sealed."""
        body = sealed_body(data)
        return None if body is None else _read_head(body)[0].marks

    def fingerprint(self, text: str) -> str:
        """The same for the same text, and telling nothing of it without the key."""
        return blake2b(text.encode(), key=self._print[:32], digest_size=20).hexdigest()

    def retry_id(self, task: str, new: str) -> str:
        """The id under which a dead task may be tried again with what is sealed for it."""
        made = f"{task}{_RETRY}{new}"
        return made if len(made) <= _ID_MAX else new


class _Head(NamedTuple):
    """What anybody may read of a sealed text."""

    name: bytes  # of the key
    task: str
    marks: list[bytes]

    def pack(self) -> bytes:
        """As it stands before the text."""
        task = self.task.encode()
        length, count = len(task).to_bytes(_LENGTH_BYTES), len(self.marks).to_bytes(1)
        return b"".join([self.name, length, task, count, *self.marks])


def _read_head(body: bytes) -> tuple[_Head, int]:
    """And how many bytes it has. Of what nobody sealed it is anything."""
    at = _NAME_BYTES + _LENGTH_BYTES
    length = int.from_bytes(body[_NAME_BYTES:at])
    task = body[at : at + length].decode(errors="replace")
    at += length
    count = body[at] if len(body) > at else 0
    at += 1
    marks = [body[at + MARK_BYTES * n : at + MARK_BYTES * (n + 1)] for n in range(count)]
    return _Head(body[:_NAME_BYTES], task, marks), at + MARK_BYTES * count


def _extension(body: bytes) -> bytes:
    packed: bytes = msgpack.packb(msgpack.ExtType(SEALED_TYPE, body))
    return packed


def _name(key: bytes) -> bytes:
    """By which a key is known; it tells nothing of the key."""
    return blake2b(b"raftwork key name", key=key, digest_size=_NAME_BYTES).digest()


def _associated(head: bytes, bound: Bound) -> list[bytes]:
    return [head, *(part.encode() for part in (bound.what, bound.name, bound.queue))]
