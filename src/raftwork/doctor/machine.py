"""What may be wrong with the machine that a broker runs on: its disk, its limits, its clock.

Each look is a function that returns one Finding; what it reads of the machine is an argument, so
that a test can say what it would find elsewhere.
"""

from __future__ import annotations

import ctypes
import os
import resource
import stat
import statistics
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from raftwork.broker.store.starts import read_starts
from raftwork.doctor.finding import Finding, error, warning, well
from raftwork.keys import is_exposed

MIB: Final = 1024 * 1024
#: A sync that takes longer, ms: etcd's figure; and a heartbeat, ten of which are an election.
SLOW_MS, HEARTBEAT_MS = 10.0, 75.0
SYNCS: Final = 1_000
BLOCK_BYTES: Final = 4_096
#: No longer than this is spent on a slow disk, s; so many syncs are enough then.
SYNC_S_MAX: Final = 15.0
_SYNCS_MIN: Final = 20
#: File systems by what becomes of synced data on them.
_GONE: Final = frozenset({"tmpfs", "ramfs"})
_ELSEWHERE: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "virtiofs"})
FREE_MIN, FREE_LOW = 512 * MIB, 1024 * MIB
FILES_MIN: Final = 4_096
#: More starts in an hour than an upgrade and a change of its settings take.
STARTS_MAX: Final = 5
HOUR_S: Final = 3_600
#: Of adjtimex(2).
_UNSYNCHRONISED: Final = 5


def look(data: Path, key: str | None = None) -> list[Finding]:
    """All of it, for a broker with that directory, which is there."""
    found = [
        disk_speed(sync_times(data)),
        file_system(file_system_of(data)),
        free_space(free_bytes(data), size_of(data)),
        directory_mode(data.stat().st_mode),
        restarts(read_starts(data), int(time.time())),
        open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
        clock(clock_state()),
        *libraries(),
    ]
    if key is None:
        return found
    # The doctor may be root, who reads anything: the broker is who has the directory.
    file, broker = os.stat(key), data.stat().st_uid
    return [*found, key_mode(key, file.st_mode, file.st_uid, broker)]


# ---- the disk -----------------------------------------------------------------------------------


def sync_times(data: Path) -> list[float]:
    """How long writes of a block took to be synced, ms, each behind the other in one file."""
    path = data / f"doctor.{os.getpid()}"
    times: list[float] = []
    began = time.monotonic()
    try:
        with open(path, "wb", buffering=0) as file:
            while len(times) < SYNCS and (
                len(times) < _SYNCS_MIN or time.monotonic() - began < SYNC_S_MAX
            ):
                file.write(bytes(BLOCK_BYTES))
                at = time.perf_counter()
                os.fdatasync(file.fileno())
                times.append((time.perf_counter() - at) * 1e3)
    finally:
        with suppress(FileNotFoundError):
            path.unlink()
    return times


def disk_speed(times: list[float]) -> Finding:
    """Every acknowledgement waits for a sync on a majority's disks."""
    p99 = statistics.quantiles(times, n=100, method="inclusive")[98]
    text = f"99 of 100 syncs of 4 KiB take {p99:.1f} ms at most, of {len(times)}"
    if p99 > HEARTBEAT_MS:
        text += f": longer than {HEARTBEAT_MS:g} ms, so leaders fall silent and are replaced"
        return error("disk-sync", text, "put the directory on a faster disk, or one of its own")
    if p99 > SLOW_MS:
        text += f": more than {SLOW_MS:g} ms"
        return warning("disk-sync", text, "put the directory on a faster disk, or one of its own")
    return well("disk-sync", text)


def file_system_of(data: Path) -> str:
    """The kind of the file system that it is on; empty if that is not known."""
    best, kind = "", ""
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    path = os.path.realpath(data)
    for line in lines:
        before, _, after = line.partition(" - ")
        mount = before.split(" ")[4].replace("\\040", " ")
        inside = path == mount or path.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, after.split(" ")[0]
    return kind


def file_system(kind: str) -> Finding:
    """What is synced there must be there after a power cut."""
    if kind in _GONE:
        text = f"the directory is in memory ({kind}): it is gone after a restart of the machine"
        return error("file-system", text, "put it on a disk")
    if kind in _ELSEWHERE:
        text = f"the directory is on another machine ({kind}), whose locks and syncs may differ"
        return error("file-system", text, "put it on a disk of this machine")
    if kind == "overlay":
        text = "the directory is in a container's own layer (overlay): it goes with the container"
        return error("file-system", text, "mount a volume there")
    return well("file-system", f"the directory is on {kind or 'a file system that is not known'}")


def free_bytes(data: Path) -> int:
    """For who is not root."""
    found = os.statvfs(data)
    return found.f_bavail * found.f_frsize


def size_of(data: Path) -> int:
    """Of all that is in the directory."""
    total = 0
    for path in data.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size
    return total


def free_space(free: int, size: int) -> Finding:
    """A snapshot takes as much again as the tables."""
    text = f"{free // MIB} MiB are free, and the directory has {size // MIB} MiB"
    remedy = "make room, or give the directory a larger disk"
    if free < FREE_MIN:
        return error("disk-space", f"{text}: {FREE_MIN // MIB} MiB must be free", remedy)
    if free < max(FREE_LOW, size):
        text += ": less than another copy of it, or 1 GiB, which a snapshot may take"
        return warning("disk-space", text, remedy)
    return well("disk-space", text)


def directory_mode(mode: int) -> Finding:
    """It holds all tasks and results."""
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        text = f"others than its owner may open the directory (mode {stat.S_IMODE(mode):04o})"
        return warning("directory-mode", text, "chmod 700 it: it holds all tasks and results")
    return well("directory-mode", "the directory is for its owner alone")


def restarts(starts: list[int], now: int) -> Finding:
    """What ends and is started again over and over is not noticed from outside."""
    count = sum(now - HOUR_S < at <= now for at in starts)
    if count > STARTS_MAX:
        text = f"the broker was started {count} times in the last hour"
        return warning("restarts", text, "see its log for what ends it")
    return well("restarts", f"{count} starts in the last hour")


def key_mode(file: str, mode: int, owner: int, broker: int) -> Finding:
    """It holds a secret: a broker, run by the user `broker`, refuses one that others can read."""
    if is_exposed(mode, owner, broker):
        text = f"others may read or change {file} (mode {stat.S_IMODE(mode):04o}): it is refused"
        return error("key-mode", text, "chmod 600 it, and replace the key: it may have been read")
    return well("key-mode", f"{file} is for its owner alone")


# ---- the machine --------------------------------------------------------------------------------


def open_files(limit: int) -> Finding:
    """Each connection is a file."""
    if 0 <= limit < FILES_MIN:
        text = f"a broker may open {limit} files here, and each connection is one"
        return warning("open-files", text, "LimitNOFILE=65536 in its unit, or ulimit -Hn")
    return well("open-files", "a broker may open enough files")


def clock_state() -> int | None:
    """What adjtimex(2) says of the clock; None where there is none."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        state: int = library.adjtimex(ctypes.create_string_buffer(512))
    except (OSError, AttributeError):
        return None
    return state if state >= 0 else None


def clock(state: int | None) -> Finding:
    """Schedules and delays go by the leader's clock."""
    if state is None:
        return well("clock", "it is not known here whether the clock is synchronised")
    if state == _UNSYNCHRONISED:
        text = "the clock is not synchronised: schedules, delays and expiries go by the leader's"
        return warning("clock", text, "run chrony, systemd-timesyncd or the like")
    return well("clock", "the clock is synchronised")


def libraries() -> list[Finding]:
    """Those that are not Python's."""
    import apsw
    import zmq

    found = [well("sqlite", f"SQLite {apsw.sqlite_lib_version()}, libzmq {zmq.zmq_version()}")]
    if zmq.has("curve"):
        return [*found, well("curve", "libzmq can encrypt")]
    text = "libzmq was built without CURVE: a broker with keys does not start here"
    return [*found, error("curve", text, "install pyzmq from its wheels")]
