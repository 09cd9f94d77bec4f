"""The files in deploy/ start what there is, with options that there are."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from raftwork.cli import main

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


def test_brokers_are_started_again_whatever_ends_them() -> None:
    text = (DEPLOY / "systemd" / "raftwork-broker@.service").read_text()
    for line in ("Restart=always", "StartLimitIntervalSec=0", "LimitCORE=0", "Type=notify"):
        assert f"\n{line}\n" in text
    kubernetes = (DEPLOY / "kubernetes" / "raftwork.yaml").read_text()
    assert "livenessProbe" not in kubernetes
    for line in ("podManagementPolicy: Parallel", "publishNotReadyAddresses: true"):
        assert line in kubernetes
