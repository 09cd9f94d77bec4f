"""The files in deploy/ start what there is, with options that there are."""

import re
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
