"""The number of the last turn whose durability others were told of, kept beside the database.

SQLite drops everything behind a damaged frame of its write-ahead log and calls the rest sound. A
database whose turn is below the promised one has lost something a vote or an acknowledgement may
rest on. The file is written in place and not fsynced: whatever kills only the process leaves it
exact; after a power loss it may lag behind, and then proves less, but never something false.
"""

import os
import struct
import zlib
from pathlib import Path

from raftwork.broker.store.files import replace_file
from raftwork.errors import StoreDamaged

_BODY = struct.Struct("<8sQ44x")
_CRC = struct.Struct("<I")
_MAGIC = b"RWTURN01"
SIZE = _BODY.size + _CRC.size


def _encode(turn: int) -> bytes:
    body = _BODY.pack(_MAGIC, turn)
    return body + _CRC.pack(zlib.crc32(body))


def read_promised(path: Path) -> int:
    """The promised turn. Raises StoreDamaged if the file is missing or contradicts its CRC."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise StoreDamaged(f"{path.name} is missing") from None
    if len(data) != SIZE:
        raise StoreDamaged(f"{path.name} has {len(data)} bytes instead of {SIZE}")
    magic, turn = _BODY.unpack_from(data)
    if magic != _MAGIC or _CRC.unpack_from(data, _BODY.size)[0] != zlib.crc32(data[: _BODY.size]):
        raise StoreDamaged(f"{path.name} contradicts its checksum")
    return int(turn)


def create_promised(path: Path) -> None:
    """A new file that promises nothing, durable at once."""
    replace_file(path, _encode(0))


class Promised:
    """The open file. `turn` is what it holds."""

    def __init__(self, path: Path) -> None:
        self.turn = read_promised(path)
        self._descriptor = os.open(path, os.O_WRONLY)

    def raise_to(self, turn: int) -> None:
        """Note that everything up to `turn` is durable."""
        assert turn >= self.turn
        if os.pwrite(self._descriptor, _encode(turn), 0) != SIZE:
            raise OSError("the file of promised turns was written in part only")
        self.turn = turn

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
