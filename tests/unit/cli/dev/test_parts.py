"""Where `raftwork dev` has the dashboard, or why it has none."""

import socket
import subprocess
import sys

import pytest

from raftwork.cli.dev import parts
from raftwork.cli.dev.parts import Part, dashboard


def test_the_dashboard_is_79_above_the_brokers_port() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert dashboard(f"127.0.0.1:{port - 79}") == (f"127.0.0.1:{port}", "")


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        found = dashboard(f"127.0.0.1:{port - 79}")
    assert found.address == ""
    assert f"127.0.0.1:{port} cannot be had: " in found.why


def test_there_is_no_port_above_the_last() -> None:
    assert "65600" in dashboard("127.0.0.1:65521").why


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "find_spec", lambda _name: None)
    assert dashboard("127.0.0.1:7701") == ("", "it needs pip install 'raftwork[web]'")


def test_lines_of_tasks_are_written_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unbuffered, `print("adds", x, y)` was five writes, and the worker's log in between."""
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    program = "import os; print(os.environ.get('PYTHONUNBUFFERED'))"
    part = Part("worker", "cyan", [], "127.0.0.1:1")
    done = subprocess.run([sys.executable, "-c", program], env=part._env, capture_output=True)
    assert done.stdout == b"None\n"
