"""What a doctor says of a machine: each thing well, and each way in which it is not."""

from pathlib import Path

import pytest

from raftwork.doctor import machine
from raftwork.doctor.finding import Finding, Severity
from raftwork.doctor.machine import MIB
from raftwork.errors import KeyRefused
from raftwork.keys import Role, new_key, read_key, write_key

OK, WARNING, ERROR = Severity.OK, Severity.WARNING, Severity.ERROR


CASES: list[tuple[Finding, str, Severity, str]] = [
    (machine.disk_speed([1.0] * 99 + [50.0]), "disk-sync", OK, "99 of 100 syncs"),
    (machine.disk_speed([11.0] * 100), "disk-sync", WARNING, "more than 10 ms"),
    (machine.disk_speed([80.0] * 100), "disk-sync", ERROR, "leaders fall silent"),
    (machine.file_system("ext4"), "file-system", OK, "ext4"),
    (machine.file_system(""), "file-system", OK, "not known"),
    (machine.file_system("tmpfs"), "file-system", ERROR, "in memory"),
    (machine.file_system("nfs4"), "file-system", ERROR, "another machine"),
    (machine.file_system("overlay"), "file-system", ERROR, "goes with the container"),
    (machine.free_space(5_000 * MIB, 100 * MIB), "disk-space", OK, "5000 MiB are free"),
    (machine.free_space(1_000 * MIB, 100 * MIB), "disk-space", WARNING, "another copy"),
    (machine.free_space(5_000 * MIB, 6_000 * MIB), "disk-space", WARNING, "another copy"),
    (machine.free_space(511 * MIB, 0), "disk-space", ERROR, "512 MiB must be free"),
    (machine.directory_mode(0o40700), "directory-mode", OK, "its owner alone"),
    (machine.directory_mode(0o40750), "directory-mode", WARNING, "mode 0750"),
    (machine.restarts([400, *range(500, 505), 9_999], 4_000), "restarts", OK, "5 starts"),
    (machine.restarts([500] * 6, 4_000), "restarts", WARNING, "6 times in the last hour"),
    (machine.key_mode("a.key", 0o100600, 990, 990), "key-mode", OK, "a.key"),
    (machine.key_mode("a.key", 0o100440, 0, 990), "key-mode", OK, "a.key"),  # of Kubernetes
    (machine.key_mode("a.key", 0o100640, 990, 990), "key-mode", ERROR, "mode 0640"),
    (machine.key_mode("a.key", 0o100644, 0, 990), "key-mode", ERROR, "mode 0644"),
    (machine.open_files(65_536), "open-files", OK, "enough"),
    (machine.open_files(-1), "open-files", OK, "enough"),  # no limit
    (machine.open_files(1_024), "open-files", WARNING, "1024 files"),
    (machine.clock(0), "clock", OK, "is synchronised"),
    (machine.clock(None), "clock", OK, "not known"),
    (machine.clock(5), "clock", WARNING, "not synchronised"),
]


@pytest.mark.parametrize(("found", "id_", "severity", "text"), CASES)
def test_each_finding_says_what_is_wrong_and_what_to_do(
    found: Finding, id_: str, severity: Severity, text: str
) -> None:
    assert (found.id, found.severity) == (id_, severity)
    assert text in found.text
    assert bool(found.remedy) == (severity is not OK)


def test_this_machine_is_looked_at_and_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "SYNCS", 20)
    key = tmp_path / "a.key"
    key.write_text("")
    key.chmod(0o600)
    found = machine.look(tmp_path, str(key))
    assert len({each.id for each in found}) == len(found) == 10
    assert list(tmp_path.iterdir()) == [key]


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700, 0o640, 0o440, 0o620, 0o604, 0o644])
def test_the_doctor_says_of_a_key_what_a_broker_will(
    tmp_path: Path, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "SYNCS", 20)
    file = tmp_path / "a.key"
    write_key(new_key("a", [Role.PEER]), str(file))
    file.chmod(mode)
    try:
        read_key(file)
    except KeyRefused:
        expected = ERROR
    else:
        expected = OK
    (found,) = (each for each in machine.look(tmp_path, str(file)) if each.id == "key-mode")
    assert found.severity is expected


def test_the_file_system_is_that_of_the_nearest_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw",
        f"2 1 0:5 / {tmp_path} rw shared:1 - tmpfs tmpfs rw",
        f"3 1 0:6 / {tmp_path}-other rw - nfs4 host:/ rw",
    ]
    monkeypatch.setattr(Path, "read_text", lambda *_args, **_kwargs: "\n".join(lines))
    assert machine.file_system_of(tmp_path / "data") == "tmpfs"
    assert machine.file_system_of(Path("/")) == "ext4"


def test_libzmq_without_curve_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zmq.has", lambda _what: False)
    assert machine.libraries()[-1].severity is ERROR
