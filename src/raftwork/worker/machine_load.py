"""The load of this machine or container.

In a container the host's numbers mislead: sixty idle cores mean nothing to a quota of one. So CPU
and memory are shares of the control group's limits where it has any (version 1 or 2), else of the
CPUs this process may run on and of the host's memory. The run queue is known for the host only, so
within a quota it is not told.

What this process and its descendants use is measured apart: a worker that is busy with our tasks is
not a worker that others keep busy.
"""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from zlib import crc32

import psutil

from raftwork.worker.agent import Load


class Cgroup:
    """Limits and use of the control group this process is in. Absent files are no limit."""

    def __init__(
        self, root: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc/self")
    ) -> None:
        self._v2, self._v1 = _groups(root, proc)
        self.name = _text(proc / "cgroup")

    @property
    def cpus(self) -> float | None:
        """The CPU quota of the tightest group, in CPUs; None if there is none."""
        quotas = [_quota_v2(group) for group in self._v2]
        quotas += (_quota_v1(group) for group in self._v1.get("cpu", ()))
        return min((quota for quota in quotas if quota is not None), default=None)

    @property
    def cpu_seconds(self) -> float | None:
        """CPU time used by the group so far."""
        for group in self._v2[:1]:
            usage = _fields(group / "cpu.stat").get("usage_usec")
            if usage is not None:
                return usage / 1e6
        for group in self._v1.get("cpuacct", ())[:1]:
            usage = _number(group / "cpuacct.usage")
            if usage is not None:
                return usage / 1e9
        return None

    @property
    def memory(self) -> float | None:
        """Memory used as a share of the tightest group's limit; None if there is none."""
        shares = [_share(g, "memory.max", "memory.current", "inactive_file") for g in self._v2]
        shares += (
            _share(g, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            for g in self._v1.get("memory", ())
        )
        return max((share for share in shares if share is not None), default=None)


def usable_cpus(cgroup: Cgroup | None = None) -> int:
    """CPUs this process may keep busy: its affinity mask, cut to the quota rounded up."""
    cpus = len(_affinity())
    quota = (cgroup or Cgroup()).cpus
    return cpus if quota is None else max(1, min(cpus, math.ceil(quota)))


class Sampler:
    """Load between one sample and the next."""

    def __init__(self, cgroup: Cgroup | None = None) -> None:
        self._cgroup = cgroup or Cgroup()
        self._host = _host_cpu()
        self._group: float | None = None  # CPU seconds so far, as are the seconds of our own
        self._family = _Family()
        self._own = self._family.cpu_seconds()
        self._last = Load()
        #: When the last sample was taken; long ago if there was none.
        self.sampled_at = -(2**62)

    def sample(self, now: int) -> Load:
        """Load since the last call; `now` is in ms. What cannot be read is None.

        While no file can be opened, because a task has used them up, the last sample is repeated:
        that must not end the worker and all its tasks.
        """
        with suppress(OSError, psutil.Error):
            self._last = self._sample(now)
        return self._last

    def _sample(self, now: int) -> Load:
        quota = self._cgroup.cpus
        passed, self.sampled_at = (now - self.sampled_at) / 1000, now
        memory = self._cgroup.memory
        if memory is None:
            memory = psutil.virtual_memory().percent / 100
        load = psutil.getloadavg()[0] / (psutil.cpu_count() or 1) if quota is None else None
        cpu = self._cpu(quota, passed)
        before, self._own = self._own, self._family.cpu_seconds()
        capacity = passed * (quota or len(_affinity()))
        own = _clamped((self._own - before) / capacity) if passed > 0 else None
        return Load(cpu, _clamped(memory), load, own, self._place(quota))

    def _cpu(self, quota: float | None, passed: float) -> float | None:
        host, (busy, total) = self._host, _host_cpu()
        self._host = (busy, total)
        before, self._group = self._group, self._cgroup.cpu_seconds
        if quota is not None and self._group is not None:
            if before is None or passed <= 0:
                return None
            return _clamped((self._group - before) / (passed * quota))
        if total <= host[1]:
            return None
        return _clamped((busy - host[0]) / (total - host[1]))

    def _place(self, quota: float | None) -> int:
        group = self._cgroup.name if quota is not None else ""
        return crc32(f"{_affinity()} {group}".encode())


def _affinity() -> list[int]:
    try:
        return sorted(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not on this system
        return list(range(psutil.cpu_count() or 1))


def _host_cpu() -> tuple[float, float]:
    """Busy and total CPU seconds so far of the CPUs this process may run on."""
    busy = total = 0.0
    times = psutil.cpu_times(percpu=True)
    for cpu in _affinity():
        if cpu < len(times):
            # Guest time is in user time already.
            spent = sum(times[cpu]) - getattr(times[cpu], "guest", 0.0)
            spent -= getattr(times[cpu], "guest_nice", 0.0)
            total += spent
            busy += spent - times[cpu].idle - getattr(times[cpu], "iowait", 0.0)
    return busy, total


class _Family:
    """This process and its descendants."""

    def __init__(self) -> None:
        # Making one reads more than is asked of it later. What has the pid now is what counts.
        self._known: dict[int, psutil.Process] = {}

    def cpu_seconds(self) -> float:
        """CPU time so far of all of them, of the dead ones they waited for too."""
        seconds, pids, known = 0.0, [os.getpid()], dict[int, psutil.Process]()
        for pid in pids:
            try:
                process = known[pid] = self._known.get(pid) or psutil.Process(pid)
                times = process.cpu_times()
                pids += _children(pid)
            except (psutil.Error, OSError):
                continue  # it is gone: its parent has its seconds
            seconds += times.user + times.system
            seconds += getattr(times, "children_user", 0.0)
            seconds += getattr(times, "children_system", 0.0)
        self._known = known
        return seconds


def _children(pid: int) -> list[int]:
    """Where the kernel lists them; else psutil, which reads every process of the machine."""
    threads = f"/proc/{pid}/task"
    if not os.path.exists(f"{threads}/{pid}/children"):
        return [child.pid for child in psutil.Process(pid).children()]
    lists = (_text(f"{threads}/{thread}/children") for thread in os.listdir(threads))
    return [int(child) for each in lists for child in each.split()]


def _clamped(share: float) -> float:
    return min(1.0, max(0.0, share))


def _groups(root: Path, proc: Path) -> tuple[list[Path], dict[str, list[Path]]]:
    """The group's directories, innermost first: of version 2, and of version 1 by controller."""
    v2: list[Path] = []
    v1: dict[str, list[Path]] = {}
    for line in _text(proc / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            v2 = list(_lineage(root, path))
        for controller in filter(None, controllers.split(",")):
            v1[controller] = list(_lineage(root / controller, path))
    return v2, v1


def _lineage(root: Path, path: str) -> Iterator[Path]:
    """The group and its ancestors: each may set a limit. Inside a container only some are seen."""
    parts = [part for part in path.split("/") if part and part != ".."]
    for depth in range(len(parts), -1, -1):
        group = root.joinpath(*parts[:depth])
        if group.is_dir():
            yield group


def _quota_v2(group: Path) -> float | None:
    match _text(group / "cpu.max").split():
        case [quota, period] if quota.isdigit() and period.isdigit() and int(period):
            return int(quota) / int(period)
    return None


def _quota_v1(group: Path) -> float | None:
    quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
    return quota / period if quota is not None and period else None


def _share(group: Path, limit_file: str, usage_file: str, cache: str) -> float | None:
    limit = _number(group / limit_file)
    if not limit or limit >= _memory_bytes():
        return None
    usage = _number(group / usage_file)
    if usage is None:
        return None
    # File cache that can be dropped at once is no shortage.
    return (usage - _fields(group / "memory.stat").get(cache, 0)) / limit


@cache
def _memory_bytes() -> int:
    """Of this machine."""
    return psutil.virtual_memory().total


def _fields(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in _text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None  # "max" and -1 are no limit


def _text(path: Path | str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""
