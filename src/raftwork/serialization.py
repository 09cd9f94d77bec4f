"""Arguments and results as bytes: values that the wire carries, and errors that name the others.

Carried: None, bool, int from -2⁶³ to 2⁶⁴-1, float, str, bytes, list, tuple (arrives as a list) and
dict with str keys, nested up to `DEPTH_MAX`. Nothing else, and no subclass such as an IntEnum: it
would arrive as something else than it was sent as.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgpack

from raftwork.errors import NotSerializable, PayloadTooLarge
from raftwork.messages import PAYLOAD_MAX
from raftwork.wire import pack, unpack

#: Containers within containers, beyond which a value counts as cyclic.
DEPTH_MAX = 100
#: What helps, for the texts of errors.
_PLAIN = (
    "plain values can (None, bool, int, float, str, bytes, list, dict), others by an annotation"
)
_ELSEWHERE = "store it elsewhere, and pass on where"

_SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1


class _Flaw(NamedTuple):
    """What is wrong with a value, and where inside it."""

    what: str
    path: str = ""


def call_packer() -> msgpack.Packer:
    """What `pack_call` packs with: one for many calls costs a third of one for each."""
    return msgpack.Packer(use_bin_type=True)


def pack_call(
    packer: msgpack.Packer,
    name: str,
    args: Sequence[object],
    kwargs: Mapping[str, object],
    parameters: Sequence[str] = (),
    besides: Mapping[str, object] | None = None,
) -> bytes:
    """The payload of a call: packed [args, kwargs], and behind them what is told besides, if any.

    That is a dict with the call's "headers", and of a flow's calls with "map" or "shard".
    `parameters` are the names of the positional ones, for the text of an error. Raises
    NotSerializable, naming the argument, and PayloadTooLarge.
    """
    if not (_plain(args) and (not kwargs or _plain(kwargs.values()))):
        _refuse(name, args, kwargs, parameters)
    try:
        whole = (args, kwargs, besides) if besides else (args, kwargs)
        payload: bytes = packer.pack(whole)
    except (ValueError, OverflowError):  # an integer too large, a lone surrogate
        _refuse(name, args, kwargs, parameters)
        raise
    if len(payload) > PAYLOAD_MAX:
        raise PayloadTooLarge(
            f"the arguments of {name} are {len(payload)} bytes, more than {PAYLOAD_MAX}:"
            f" {_ELSEWHERE}"
        )
    return payload


def headers_of(payload: bytes) -> dict[str, str]:
    """The headers of a call, by its payload. Raises BadMessage."""
    match unpack(payload):
        case [_, _, {"headers": dict(headers)}, *_]:
            return {key: text for key, text in headers.items() if type(key) is type(text) is str}
    return {}


def pack_result(value: object, what: str = "the result", most: int = PAYLOAD_MAX) -> bytes:
    """A task's value, packed. Raises NotSerializable or PayloadTooLarge; `what` is for their texts.

    `most` is how many bytes it may have.
    """
    if not _plain((value,), -1):
        _refuse_result(value, what)
    try:
        data = pack(value)
    except (ValueError, OverflowError):
        _refuse_result(value, what)
        raise
    if len(data) > most:
        raise PayloadTooLarge(f"{what} is {len(data)} bytes, more than {most}: {_ELSEWHERE}")
    return data


def _refuse_result(value: object, what: str) -> None:
    if flaw := _flaw(value):
        raise NotSerializable(f"{what} cannot be sent: {_where(flaw)}; {_PLAIN}")


def _plain(values: object, depth: int = 0) -> bool:
    """Whether all of a container's values are carried, but for the size of its integers."""
    for value in values:  # type: ignore[attr-defined]
        kind = type(value)
        if kind in _SCALARS:
            continue
        if depth >= DEPTH_MAX:
            return False
        if kind is dict:
            if not (_all_str(value) and _plain(value.values(), depth + 1)):
                return False
        elif not ((kind is list or kind is tuple) and _plain(value, depth + 1)):
            return False
    return True


def _all_str(keys: Mapping[object, object]) -> bool:
    return all(type(key) is str for key in keys)


def _refuse(
    name: str, args: Sequence[object], kwargs: Mapping[str, object], parameters: Sequence[str]
) -> None:
    """Raise NotSerializable for the first argument that is not carried, if there is one."""
    for at, value in enumerate(args):
        if flaw := _flaw(value):
            label = f" {parameters[at]!r}" if at < len(parameters) else ""
            raise NotSerializable(f"argument {at + 1}{label} of {name}: {_where(flaw)}")
    for key, value in kwargs.items():
        if not _encodable(key):
            raise NotSerializable(f"argument {key!a} of {name}: a name with a lone surrogate")
        if flaw := _flaw(value):
            raise NotSerializable(f"argument {key!r} of {name}: {_where(flaw)}")


def _where(flaw: _Flaw) -> str:
    return f"{flaw.what} at {flaw.path}" if flaw.path else flaw.what


def _flaw(value: object, path: str = "", depth: int = 0) -> _Flaw | None:
    kind = type(value)
    if kind not in _SCALARS and kind not in (list, tuple, dict):
        return _Flaw(kind.__qualname__, path)
    if isinstance(value, int) and not _INT_MIN <= value <= _INT_MAX:
        return _Flaw("an integer of more than 64 bits", path)
    if isinstance(value, str) and not _encodable(value):
        return _Flaw("a str with a lone surrogate", path)
    if isinstance(value, list | tuple | dict):
        if depth >= DEPTH_MAX:
            return _Flaw(f"nested deeper than {DEPTH_MAX}")
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(value, dict) and type(key) is not str:
                return _Flaw(f"a key of type {type(key).__qualname__}", path)
            if isinstance(key, str) and not _encodable(key):
                return _Flaw("a key with a lone surrogate", path)
            if flaw := _flaw(inner, f"{path}[{key!r:.40}]", depth + 1):
                return flaw
    return None


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
