"""Every decoder of what others wrote: how it reads bytes, and how it says that it cannot."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from raftwork.addresses import parse_address
from raftwork.broker.machine import ClusterSettings
from raftwork.broker.machine.commands import commands, decode_batch, encode_batch
from raftwork.broker.store import meta, watermark
from raftwork.broker.store.identity import Identity, load_identity, save_identity
from raftwork.consensus import membership
from raftwork.consensus.raft import messages as raft
from raftwork.consensus.zab import messages as zab
from raftwork.errors import BadMessage, PayloadTooLarge, ProtocolError, StoreDamaged, StoreError
from raftwork.features import from_broker, to_broker
from raftwork.features.flow_graph import Graph, decode_graph, encode_graph, read_graph
from raftwork.features.schedule_plan import Fields, decode_fields, encode_fields
from raftwork.features.task_batch import read_spec, read_tasks
from raftwork.keys import decoded, encoded
from raftwork.messages import (
    Failure,
    RetryAsked,
    Spec,
    decode_ending,
    decode_failure,
    decode_failure_strictly,
    decode_spec,
    decode_spec_strictly,
    encode_failure,
    encode_spec,
)
from raftwork.messages.flow_values import Reference, joined, packed_reference, unpack_value
from raftwork.wire import INT_MAX, Codec, pack, unpack
from raftwork.worker.own_facts import worker_facts
from raftwork.worker.pool.fork_server import notices

Strategy = st.SearchStrategy[Any]

#: Small ones meet each other: epochs, sessions and tokens that are alike are where bugs live.
_INTS = st.one_of(st.integers(0, 3), st.integers(0, INT_MAX))
_SCALARS: dict[object, Strategy] = {
    int: _INTS,
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    str: st.text(max_size=8),
    bytes: st.binary(max_size=24),
}
#: What msgpack can carry, of any shape.
plain: Strategy = st.recursive(
    st.one_of(st.none(), st.floats(), st.integers(-(2**63), 2**64 - 1), *_SCALARS.values()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


def values(annotation: Any) -> Strategy:
    """Values that a record may have where its annotation is this one."""
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is UnionType or (origin is not None and NoneType in args):
        return st.one_of([st.none() if a is NoneType else values(a) for a in args])
    if origin is list:
        return st.lists(values(args[0]), max_size=3)
    if origin is tuple:
        if args[1:] == (...,):
            return st.lists(values(args[0]), max_size=3).map(tuple)
        return st.tuples(*map(values, args))
    if issubclass(annotation, IntEnum):
        return st.sampled_from(list(annotation))
    return records(annotation)


def records(record: type[tuple[Any, ...]]) -> Strategy:
    hints = get_type_hints(record)
    fields = [hints[name] for name in record._fields]  # type: ignore[attr-defined]
    return st.tuples(*map(values, fields)).map(record._make)  # type: ignore[attr-defined]


def messages(codec: Codec[Any]) -> Strategy:
    """Any record of a codec."""
    return st.one_of([records(record) for record, *_ in codec._records.values()])


def spoilt(good: Strategy) -> Strategy:
    """Good bytes with bits flipped, bytes cut off, put in or said twice."""

    @st.composite
    def draw_one(draw: st.DrawFn) -> bytes:
        data = bytearray(draw(good))
        for _ in range(draw(st.integers(1, 4))):
            at = draw(st.integers(0, max(0, len(data) - 1)))
            match draw(st.integers(0, 4)):
                case 0:
                    del data[at:]
                case 1:
                    data[at:at] = draw(st.binary(min_size=1, max_size=6))
                case 2:
                    data[at:at] = data[: at + 1]
                case 3:
                    data[at : at + 1] = draw(st.sampled_from(_HEADERS))
                case _ if data:
                    data[at] ^= 1 << draw(st.integers(0, 7))
        return bytes(data)

    return draw_one()


#: Announcements of far more than ever comes, and of what is nested in itself.
_HEADERS = [
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x01",
    b"\x91" * 3_000,
    b"\x81\x01" * 3_000,
    b"[" * 3_000,
]
HEADERS = tuple(_HEADERS)


@dataclass(frozen=True)
class Decoder:
    """`decode` gives a value or raises one of `refusals`; `good` are bytes that it reads."""

    decode: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    good: Strategy
    #: The bytes of a value, where that is what `decode` undoes.
    encode: Callable[[Any], bytes] | None = None
    made: Strategy | None = None


def _codec(codec: Codec[Any], decode: Callable[[bytes], object] | None = None) -> Decoder:
    made = messages(codec)
    return Decoder(
        decode or codec.decode, (BadMessage,), made.map(codec.encode), codec.encode, made
    )


def _commands(data: bytes) -> object:
    time, batch = decode_batch(data)
    return time, [commands.from_plain(each) for each in batch]


def _file(read: Callable[[Path], object], data: bytes) -> object:
    path = Path(gettempdir()) / f"raftwork-fuzz-{os.getpid()}"
    path.write_bytes(data)
    try:
        return read(path)
    finally:
        path.unlink()


def _identity(data: bytes) -> object:
    directory = Path(gettempdir()) / f"raftwork-fuzz-{os.getpid()}.d"
    directory.mkdir(exist_ok=True)
    (directory / "identity.json").write_bytes(data)
    return load_identity(directory)


def _identity_bytes(identity: Identity) -> bytes:
    directory = Path(gettempdir()) / f"raftwork-fuzz-{os.getpid()}.d"
    directory.mkdir(exist_ok=True)
    save_identity(directory, identity)
    return (directory / "identity.json").read_bytes()


_ROSTERS = st.dictionaries(st.text(max_size=5), st.binary(max_size=16), max_size=3)
_IDENTITIES = st.builds(
    Identity,
    st.text(max_size=5),
    st.binary(max_size=16),
    st.binary(max_size=16),
    st.sampled_from(["raft", "zab"]),
    st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=3),
)
_TASKS = st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=4)
_REFUSED = (ProtocolError, PayloadTooLarge, BadMessage)


def _batches() -> Strategy:
    batch: Strategy = st.tuples(st.integers(0, 2**50), st.lists(messages(commands), max_size=3))
    return batch


#: Lists of values, and of references to them.
_TEMPLATES = st.lists(
    st.one_of(plain, st.builds(packed_reference, st.builds(Reference, st.just(0), st.booleans())))
).map(pack)


def _joined(data: bytes) -> object:
    return joined(data, {0: pack([1, 2])})


def _address(data: bytes) -> object:
    return parse_address(data.decode("utf-8", "surrogateescape"))


DECODERS: dict[str, Decoder] = {
    "keys as they are written": Decoder(
        lambda data: decoded(data.decode(errors="replace")),
        (ValueError,),
        st.binary(min_size=32, max_size=32).map(lambda key: encoded(key).encode()),
    ),
    "plain values": Decoder(unpack, (BadMessage,), plain.map(pack)),
    "frames to a broker": _codec(to_broker),
    "frames from a broker": _codec(from_broker),
    "specs": Decoder(
        decode_spec, (BadMessage,), records(Spec).map(encode_spec), encode_spec, records(Spec)
    ),
    "failures": Decoder(
        decode_failure,
        (BadMessage,),
        records(Failure).map(encode_failure),
        encode_failure,
        records(Failure),
    ),
    "how an attempt ended": Decoder(
        decode_ending,
        (BadMessage,),
        records(RetryAsked).map(encode_failure),
        encode_failure,
        records(RetryAsked),
    ),
    "specs in the log": Decoder(
        decode_spec_strictly,
        (BadMessage,),
        records(Spec).map(encode_spec),
        encode_spec,
        records(Spec),
    ),
    "what is said of a schedule": Decoder(
        decode_fields,
        (BadMessage,),
        records(Fields).map(encode_fields),
        encode_fields,
        records(Fields),
    ),
    "failures in the log": Decoder(
        decode_failure_strictly,
        (BadMessage,),
        records(Failure).map(encode_failure),
        encode_failure,
        records(Failure),
    ),
    "graphs": Decoder(
        decode_graph, (BadMessage,), records(Graph).map(encode_graph), encode_graph, records(Graph)
    ),
    "graphs that are to enter": Decoder(
        partial(read_graph, settings=ClusterSettings()),
        _REFUSED,
        records(Graph).map(encode_graph),
    ),
    "values with failures": Decoder(unpack_value, (BadMessage,), plain.map(pack)),
    "templates": Decoder(_joined, (BadMessage,), _TEMPLATES),
    "a batch's spec": Decoder(
        partial(read_spec, settings=ClusterSettings()), _REFUSED, records(Spec).map(encode_spec)
    ),
    "a batch's tasks": Decoder(
        partial(read_tasks, settings=ClusterSettings()), _REFUSED, _TASKS.map(pack)
    ),
    "log entries": Decoder(
        _commands, (BadMessage,), _batches().map(lambda b: encode_batch(*b)), None, None
    ),
    "commands": _codec(commands),
    # Their parts must fit together, so not every record is one.
    "Raft messages": Decoder(
        raft.decode, (BadMessage,), messages(raft.codec).map(raft.codec.encode)
    ),
    "Raft hard state": _codec(raft._hard_state),
    "Zab messages": Decoder(zab.decode, (BadMessage,), messages(zab.codec).map(zab.codec.encode)),
    "Zab frames": Decoder(
        zab.decode_framed, (BadMessage,), messages(zab.framed).map(zab.framed.encode)
    ),
    "Zab hard state": _codec(zab._hard_state),
    "rosters in the log": Decoder(
        membership.decode_roster,
        (BadMessage,),
        _ROSTERS.map(membership.encode_roster),
        membership.encode_roster,
        _ROSTERS,
    ),
    "rosters in the store": Decoder(
        meta.decode_roster,
        (StoreDamaged,),
        _ROSTERS.map(meta.encode_roster),
        meta.encode_roster,
        _ROSTERS,
    ),
    "a directory's identity": Decoder(
        _identity, (StoreError,), _IDENTITIES.map(_identity_bytes), _identity_bytes, _IDENTITIES
    ),
    "promised turns": Decoder(
        partial(_file, watermark.read_promised),
        (StoreDamaged,),
        st.integers(0, 2**63).map(watermark._encode),
        watermark._encode,
        st.integers(0, 2**63),
    ),
    "notices of the fork server": _codec(notices),
    "facts of a worker": _codec(worker_facts),
    "addresses": Decoder(
        _address, (ValueError,), st.sampled_from([b"a:1", b"127.0.0.1:7701", b"[::1]:80"])
    ),
}


def check(name: str, data: bytes) -> bool:
    """Whether this decoder reads these bytes; raises whatever it should not have raised."""
    decoder = DECODERS[name]
    try:
        decoder.decode(data)
    except decoder.refusals:
        return False
    return True


def corpus(name: str, count: int) -> Iterable[bytes]:
    """Good bytes to begin from."""
    from hypothesis import HealthCheck, given, settings

    found: list[bytes] = []

    @settings(
        max_examples=count, database=None, suppress_health_check=[*HealthCheck.__members__.values()]
    )
    @given(DECODERS[name].good)
    def collect(data: bytes) -> None:
        found.append(data)

    collect()
    return found
