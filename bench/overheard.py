"""`app`, for a worker that writes down every frame it says to brokers into $RAFTWORK_OVERHEARD.

So an attack may replay and spoil what was really said; a client does the same by `overhear`.
"""

import os
from pathlib import Path

from bench.tasks import app
from raftwork.features import to_broker
from raftwork.messages import ToBroker

__all__ = ["app", "frames_in", "overhear"]

VARIABLE = "RAFTWORK_OVERHEARD"
#: Frames are kept up to so many bytes in all.
BYTES_MAX = 4 * 1024 * 1024


def overhear(path: Path) -> None:
    """From now on this process writes down there what it says, until there is enough."""
    encode, left = to_broker.encode, BYTES_MAX
    # Each frame by itself: workers and clients write to one file.
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def overheard(message: ToBroker) -> bytes:
        nonlocal left
        frame = encode(message)
        left -= len(frame)
        if left > 0:
            os.write(file, len(frame).to_bytes(4, "big") + frame)
        return frame

    to_broker.encode = overheard  # type: ignore[method-assign, assignment]


def frames_in(path: Path) -> list[bytes]:
    """What was said."""
    data, frames = path.read_bytes(), []
    while data:
        size = int.from_bytes(data[:4], "big")
        frames.append(data[4 : 4 + size])
        data = data[4 + size :]
    return frames


if VARIABLE in os.environ:
    overhear(Path(os.environ[VARIABLE]))
