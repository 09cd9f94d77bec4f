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


def _sealed(codec: Codec, texts: bytes, task: str, marks: Sequence[bytes]) -> str:
    bound = Bound(FAILURE, task, marks=marks)
    return _MARK + base64.b64encode(codec.seal(texts, bound)).decode()


def open_failure(
    codec: Codec | None, failure: Failure, task: str, marks: Sequence[bytes] | None = ()
) -> Failure:
    """With its texts, as far as they can be read here; else its message says why not.

    With `marks`, as of Bound, it may be another task's.
    """
    if not failure.message.startswith(_MARK):
        return failure
    if codec is None:
        return failure._replace(message="its texts are encrypted, and this process has no key")
    try:
        sealed = base64.b64decode(failure.message.removeprefix(_MARK), validate=True)
        match unpack(codec.open(sealed, Bound(FAILURE, task, marks=marks))):
            case [str(message), str(traceback), str(log)]:
                return failure._replace(message=message, traceback=traceback, log=log)
        raise BadMessage("no texts of a failure")  # noqa: TRY301
    except (binascii.Error, BadMessage, CannotDecrypt) as error:
        return failure._replace(message=str(error))
