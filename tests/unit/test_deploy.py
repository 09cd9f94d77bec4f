"""The files in deploy/ start what there is, with options that there are."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import cast

import click
import pytest
import yaml

from raftwork.cli import main
from raftwork.keys import read_key

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted(DEPLOY.glob("systemd/*.service"))
OTHERS = [DEPLOY / "compose.yaml", DEPLOY / "kubernetes" / "raftwork.yaml"]
_FLAG = re.compile(r"--[a-z][a-z-]*")


def _options(name: str) -> set[str]:
    command = main.commands[name]
    return {flag for each in command.params for flag in each.opts if isinstance(each, click.Option)}


@pytest.mark.parametrize("unit", UNITS, ids=lambda each: each.name)
def test_a_unit_starts_a_command_with_options_that_it_has(unit: Path) -> None:
    (line,) = re.findall(r"ExecStart=\S*/raftwork (.*)", unit.read_text())
    command = line.split()[0]
    assert command in unit.name
    assert set(_FLAG.findall(line)) <= _options(command)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda each: each.name)
def test_systemd_understands_every_line_of_a_unit(unit: Path, tmp_path: Path) -> None:
    """The program, its directory and its users need not be here."""
    text = unit.read_text().replace("/opt/raftwork/bin/raftwork", sys.executable)
    text = re.sub(r"^(User|WorkingDirectory)=.*\n", "", text, flags=re.MULTILINE)
    copy = tmp_path / unit.name.replace("@", "@1")
    copy.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if str(copy) in line or copy.name in line]
    assert ours == [], done.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool here")
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "deploy/prometheus/prometheus.yml"),
        ("test", "rules", "tests/prometheus/alerts.yml"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_prometheus_takes_the_rules_and_the_alerts_fire_when_they_should(
    arguments: tuple[str, ...],
) -> None:
    done = subprocess.run(
        ["promtool", *arguments], cwd=DEPLOY.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", OTHERS, ids=lambda each: each.name)
def test_a_container_has_options_that_there_are(file: Path) -> None:
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    flags = set(_FLAG.findall("\n".join(lines)))
    known = _options("broker") | _options("worker") | {"--role", "--wait"}
    assert flags <= known
    assert {"--listen", "--http", "--access"} <= flags


Service = dict[str, object]


def _services() -> dict[str, Service]:
    found = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return cast("dict[str, Service]", found["services"])


def _sees(service: Service) -> list[object]:
    """Which parts of the volume of keys; None is all of it."""
    found: list[object] = []
    for mount in cast("list[object]", service["volumes"]):
        if isinstance(mount, dict) and mount["source"] == "keys":
            assert mount["read_only"]
            found.append(mount["volume"].get("subpath"))
        elif str(mount).startswith("keys:"):
            found.append(None)
    return found


def test_a_container_sees_no_key_but_its_own(tmp_path: Path) -> None:
    """As the service that makes them leaves them: run here as it is there."""
    services = _services()
    (script,) = cast("list[str]", services["keys"]["command"])
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for _ in range(2):  # the second time it only hands out the list
        subprocess.run(
            ["/bin/sh", "-ec", script.replace("$$", "$")],
            cwd=tmp_path,
            env=os.environ | {"PATH": path},
            check=True,
            capture_output=True,
        )
    for name, service in services.items():
        if name == "keys":
            assert _sees(service) == [None]
            continue
        (part,) = _sees(service)
        mine = tmp_path / str(part)
        keys = [each.name for each in mine.glob("*.key")]
        if part == "worker":
            assert cast("dict[str, str]", service["environment"])["RAFTWORK_KEY"] in (
                f"/keys/{each}" for each in keys
            )
        else:
            assert part == name
            command = cast("list[str]", service["command"])
            assert command[command.index("--key") + 1] == f"/keys/{name}.key"
            assert command[command.index("--access") + 1] == "/keys/access.toml"
            assert (mine / "access.toml").read_text() == (tmp_path / "access.toml").read_text()
        assert len(keys) == 1
        assert read_key(str(mine / keys[0])).name == part


def test_brokers_are_started_again_whatever_ends_them() -> None:
    text = (DEPLOY / "systemd" / "raftwork-broker@.service").read_text()
    for line in ("Restart=always", "StartLimitIntervalSec=0", "LimitCORE=0", "Type=notify"):
        assert f"\n{line}\n" in text
    kubernetes = (DEPLOY / "kubernetes" / "raftwork.yaml").read_text()
    assert "livenessProbe" not in kubernetes
    for line in ("podManagementPolicy: Parallel", "publishNotReadyAddresses: true"):
        assert line in kubernetes
