"""Load and limits as control groups tell them."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from raftwork.worker.machine_load import Cgroup, Sampler, _Family, usable_cpus


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def cgroup(root: Path, membership: str, files: dict[str, str]) -> Cgroup:
    write(root, {"proc/cgroup": membership})
    write(root / "fs", files)
    return Cgroup(root / "fs", root / "proc")


def test_the_tightest_quota_of_version_2_counts(tmp_path: Path) -> None:
    group = cgroup(
        tmp_path,
        "0::/pod/box\n",
        {"cpu.stat": "", "pod/cpu.max": "150000 100000\n", "pod/box/cpu.max": "max 100000\n"},
    )

    assert group.cpus == 1.5


def test_a_container_that_sees_only_its_own_root_has_its_quota(tmp_path: Path) -> None:
    group = cgroup(tmp_path, "0::/../../outer/name\n", {"cpu.max": "50000 100000\n"})

    assert group.cpus == 0.5


def test_a_quota_of_version_1_counts(tmp_path: Path) -> None:
    group = cgroup(
        tmp_path,
        "3:cpu,cpuacct:/box\n",
        {
            "cpu/box/cpu.cfs_quota_us": "25000\n",
            "cpu/box/cpu.cfs_period_us": "100000\n",
            "cpu/cpu.cfs_quota_us": "-1\n",
            "cpu/cpu.cfs_period_us": "100000\n",
            "cpuacct/box/cpuacct.usage": "3000000000\n",
        },
    )

    assert group.cpus == 0.25
    assert group.cpu_seconds == 3.0


def test_cpus_are_the_quota_rounded_up_and_the_mask_at_most(tmp_path: Path) -> None:
    mask = len(os.sched_getaffinity(0))

    assert usable_cpus(cgroup(tmp_path, "0::/\n", {"cpu.max": "10000 100000"})) == 1
    assert usable_cpus(cgroup(tmp_path, "0::/\n", {"cpu.max": "99900000 100000"})) == mask
    assert usable_cpus(cgroup(tmp_path, "0::/\n", {"cpu.max": "max 100000"})) == mask


def test_cpu_is_a_share_of_the_quota(tmp_path: Path) -> None:
    files = {"cpu.max": "200000 100000", "cpu.stat": "usage_usec 1000000\nuser_usec 1\n"}
    sampler = Sampler(cgroup(tmp_path, "0::/\n", files))

    assert sampler.sample(1_000).cpu is None
    write(tmp_path / "fs", {"cpu.stat": "usage_usec 2000000\n"})

    assert sampler.sample(2_000).cpu == pytest.approx(0.5)


def test_memory_is_a_share_of_the_limit_without_the_cache(tmp_path: Path) -> None:
    v2 = {"memory.max": "1000", "memory.current": "700", "memory.stat": "inactive_file 200\n"}
    assert Sampler(cgroup(tmp_path / "2", "0::/\n", v2)).sample(0).memory == 0.5

    v1 = {
        "memory/memory.limit_in_bytes": "1000",
        "memory/memory.usage_in_bytes": "700",
        "memory/memory.stat": "total_inactive_file 300\n",
    }
    assert Sampler(cgroup(tmp_path / "1", "4:memory:/\n", v1)).sample(0).memory == 0.4


def test_without_limits_the_host_is_the_measure(tmp_path: Path) -> None:
    group = cgroup(tmp_path, "0::/\n", {"cpu.max": "max 100000", "memory.max": "max"})

    load = Sampler(group).sample(0)

    used = psutil.virtual_memory().percent / 100
    assert load.memory == pytest.approx(used, abs=0.2)
    assert load.cpu is None or 0 <= load.cpu <= 1
    assert load.load is not None and load.load >= 0


def test_no_control_groups_at_all_is_no_error(tmp_path: Path) -> None:
    group = Cgroup(tmp_path / "none", tmp_path / "none")

    assert (group.cpus, group.memory, group.cpu_seconds) == (None, None, None)
    assert usable_cpus(group) >= 1


def test_its_own_work_and_its_childrens_is_told_apart(tmp_path: Path) -> None:
    sampler = Sampler(Cgroup(tmp_path / "none", tmp_path / "none"))
    assert sampler.sample(0).own is not None
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", busy], check=True)
    own = sampler.sample(1_000).own

    assert own is not None and own * len(os.sched_getaffinity(0)) >= 0.25


def test_descendants_at_work_count_too(tmp_path: Path) -> None:
    family = _Family()
    before = family.cpu_seconds()
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as child:
        deadline = time.monotonic() + 20
        while family.cpu_seconds() < before + 0.2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        child.kill()


def test_workers_of_the_same_cpus_have_the_same_place(tmp_path: Path) -> None:
    none = Cgroup(tmp_path / "none", tmp_path / "none")
    quota = {"cpu.max": "200000 100000", "cpu.stat": "usage_usec 1000000\n"}
    group = cgroup(tmp_path, "0::/box\n", quota)
    assert Sampler(none).sample(0).place == Sampler(none).sample(5).place
    assert Sampler(none).sample(0).place != Sampler(group).sample(0).place
    # A quota's CPUs are not the host's, whose run queue says nothing about them.
    assert Sampler(group).sample(0).load is None


@pytest.mark.parametrize("broken", ["virtual_memory", "cpu_times"])
def test_what_it_was_is_told_while_no_file_can_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    sampler = Sampler(Cgroup(tmp_path / "none", tmp_path / "none"))
    before = sampler.sample(0)

    def fail(**_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(psutil, broken, fail)
    assert sampler.sample(1_000) == before
