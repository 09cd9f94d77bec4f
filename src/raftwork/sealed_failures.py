"""The texts of a failure, sealed: its message stands for all of them. Its type stays readable."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final

from raftwork.errors import BadMessage, CannotDecrypt
from raftwork.messages import Failure, LimitReached, RetryAsked, decode_ending, encode_failure
from raftwork.sealing import FAILURE, Bound, Codec
from raftwork.wire import pack, unpack

_MARK: Final = "encrypted:"
_NO_KEY: Final = "its texts are encrypted, and this process has no key"


def seal_failure(codec: Codec, data: bytes, task: str, marks: Sequence[bytes] = ()) -> bytes:
    """A packed ending whose texts nobody reads without the key; `marks` as of Bound."""
    ending = decode_ending(data)
    if isinstance(ending, LimitReached):
        texts = pack([ending.message, "", ""])
        return encode_failure(ending._replace(message=_sealed(codec, texts, task, marks)))
    if not isinstance(ending, Failure | RetryAsked):
        return data  # a fact, without texts of the task's
    texts = pack([ending.message, ending.traceback, ending.log])
    sealed = _sealed(codec, texts, task, marks)
    return encode_failure(ending._replace(message=sealed, traceback="", log=""))


def seal_log(codec: Codec, data: bytes, task: str, marks: Sequence[bytes] = ()) -> bytes:
    """A packed Failure that is a fact, with the task's own lines sealed; `marks` as of Bound."""
    ending = decode_ending(data)
    if not isinstance(ending, Failure) or not ending.log:
        return data
    sealed = _sealed(codec, pack(["", "", ending.log]), task, marks)
    return encode_failure(ending._replace(log=sealed))


def _sealed(codec: Codec, texts: bytes, task: str, marks: Sequence[bytes]) -> str:
    bound = Bound(FAILURE, task, marks=marks)
    return _MARK + base64.b64encode(codec.seal(texts, bound)).decode()


def open_failure(
    codec: Codec | None, failure: Failure, task: str, marks: Sequence[bytes] | None = ()
) -> Failure:
    """With its texts, as far as they can be read here; else its message says why not.

    With `marks`, as of Bound, it may be another task's.
    """
    if failure.log.startswith(_MARK):
        return failure._replace(log=_log(codec, failure.log, task, marks))
    if not failure.message.startswith(_MARK):
        return failure
    if codec is None:
        return failure._replace(message=_NO_KEY)
    try:
        message, traceback, log = _texts(codec, failure.message, task, marks)
    except (binascii.Error, BadMessage, CannotDecrypt) as error:
        return failure._replace(message=str(error))
    return failure._replace(message=message, traceback=traceback, log=log)


def _log(codec: Codec | None, sealed: str, task: str, marks: Sequence[bytes] | None) -> str:
    if codec is None:
        return _NO_KEY
    try:
        return _texts(codec, sealed, task, marks)[2]
    except (binascii.Error, BadMessage, CannotDecrypt) as error:
        return str(error)


def _texts(
    codec: Codec, sealed: str, task: str, marks: Sequence[bytes] | None
) -> tuple[str, str, str]:
    """Message, traceback and log."""
    data = base64.b64decode(sealed.removeprefix(_MARK), validate=True)
    match unpack(codec.open(data, Bound(FAILURE, task, marks=marks))):
        case [str(message), str(traceback), str(log)]:
            return message, traceback, log
    raise BadMessage("no texts of a failure")
