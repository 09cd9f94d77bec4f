"""The files of one release: how they are written, and read again by any later one."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from enum import IntEnum
from itertools import count
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import apsw

from raftwork.broker.machine import Machine, create_or_migrate
from raftwork.broker.machine.commands import Command, commands, encode_batch
from raftwork.broker.store import Store, open_store
from raftwork.consensus.core import Entry, Kind, Position
from raftwork.consensus.raft import messages as raft
from raftwork.consensus.zab import messages as zab
from raftwork.features import from_broker, to_broker
from raftwork.features.upgrade import Raise
from raftwork.messages import failures, shared
from raftwork.release import LEVELS, RELEASE
from raftwork.wire import Codec
from tests.golden.history import HISTORY

HERE = Path(__file__).parent
CLUSTER = {name: f"127.0.0.1:{port}" for name, port in (("a", 1), ("b", 2), ("c", 3))}
CLUSTER_ID = b"a golden cluster"

#: Whatever travels or stays, by the name of its part of a file.
CODECS: dict[str, Codec[Any]] = {
    "commands": commands,
    "to a broker": to_broker,
    "from a broker": from_broker,
    "endings": failures._failure,
    "specs": shared._spec,
    "raft": raft.codec,
    "raft hard state": raft._hard_state,
    "zab": zab.codec,
    "zab frames": zab.framed,
    "zab hard state": zab._hard_state,
}


# ---- records ------------------------------------------------------------------------------------


def example(annotation: Any, name: str, numbers: "count[int]") -> Any:
    """A value of this type, another for each field."""
    simple: Mapping[object, Callable[[], object]] = {
        int: lambda: next(numbers),
        float: lambda: next(numbers) + 0.5,
        bool: lambda: True,
        str: lambda: f"{name} {next(numbers)}",
        bytes: lambda: f"{name} {next(numbers)}".encode(),
    }
    if annotation in simple:
        return simple[annotation]()
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is UnionType or NoneType in args:
        return example(next(a for a in args if a is not NoneType), name, numbers)
    if origin is list:
        return [example(args[0], name, numbers) for _ in range(2)]
    if origin is tuple:
        if args[1:] == (...,):
            return tuple(example(args[0], name, numbers) for _ in range(2))
        return tuple(example(part, name, numbers) for part in args)
    if issubclass(annotation, IntEnum):
        return max(annotation)
    hints = get_type_hints(annotation)
    return annotation(*(example(hints[field], field, numbers) for field in annotation._fields))


def plain(value: object) -> object:
    """As JSON has it."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    return int(value) if isinstance(value, IntEnum) else value


def means(stored: object, now: object) -> bool:
    """Whether a decoded value is what was encoded; fields that came later have their defaults."""
    if isinstance(now, tuple) and hasattr(now, "_fields") and isinstance(stored, list):
        record: Any = type(now)
        defaults: dict[str, object] = record._field_defaults
        later = record._fields[len(stored) :]
        known = all(map(means, stored, now))
        return known and all(getattr(now, name) == defaults[name] for name in later)
    if isinstance(now, tuple | list) and isinstance(stored, list):
        return len(stored) == len(now) and all(map(means, stored, now))
    return stored == plain(now)


# ---- files --------------------------------------------------------------------------------------


def records() -> dict[str, list[dict[str, object]]]:
    """Each record of each codec: its tag, its name, an example's bytes and fields."""
    made: dict[str, list[dict[str, object]]] = {}
    for part, codec in CODECS.items():
        made[part] = []
        for tag, (record, *_) in sorted(codec._records.items()):
            value = example(record, record.__name__, count(1))
            packed = codec.encode(value).hex()
            fields = {"tag": tag, "name": record.__name__, "packed": packed, "fields": plain(value)}
            made[part].append(fields)
    return made


def entries() -> list[tuple[int, list[Command]]]:
    """The history at this release's level."""
    begin: list[Command] = [Raise(LEVELS.most, RELEASE)]
    return [(0, begin), *HISTORY]


def history() -> dict[str, object]:
    """The entries, and the digest of the tables behind each of them."""
    db = apsw.Connection(":memory:")
    create_or_migrate(db)
    machine = Machine(db)
    packed, digests = [], []
    for time, batch in entries():
        packed.append(encode_batch(time, batch).hex())
        machine.apply(bytes.fromhex(packed[-1]))
        digests.append(machine.digest().hex())
    return {"entries": packed, "digests": digests}


def open_golden(directory: Path, name: str = "a") -> Store:
    """A directory of the golden cluster."""
    return open_store(
        directory, name=name, consensus="raft", cluster=CLUSTER, create_machine=create_or_migrate
    )


def apply(store: Store, upto: int | None = None) -> Machine:
    """Carry on where the directory's tables stand: apply what its log holds, up to a number."""
    machine = Machine(store.connection)
    store.begin(sync=True)
    for entry in store.entries(store.applied, 1 << 30):
        if upto is None or entry.at.seq <= upto:
            machine.apply(entry.data, entry.at)
            store.save_applied(entry.at)
    machine.flush()
    store.commit()
    return machine


def fill(directory: Path, name: str, batches: list[tuple[int, list[Command]]]) -> Store:
    """A member's directory with this log, and nothing of it applied."""
    store = open_golden(directory, name)
    store.form(CLUSTER_ID, {each: f"{each}'s incarnation".encode().ljust(16) for each in CLUSTER})
    store.begin(sync=True)
    store.append(
        tuple(
            Entry(Position(1, number), Kind.DATA, encode_batch(*batch))
            for number, batch in enumerate(batches, 1)
        )
    )
    store.commit()
    return store


def pack_directory(directory: Path, target: Path) -> None:
    """As a file of its own; what a running broker has besides is not part of it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(directory.iterdir()):
            if path.is_file() and path.suffix not in (".pid", ".db-shm") and path.name != "lock":
                info = tarfile.TarInfo(path.name)
                data = path.read_bytes()
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    target.write_bytes(gzip.compress(buffer.getvalue(), mtime=0))


def unpack_directory(source: Path, directory: Path) -> Path:
    with tarfile.open(source) as tar:
        tar.extractall(directory, filter="data")
    return directory


def write_json(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())
