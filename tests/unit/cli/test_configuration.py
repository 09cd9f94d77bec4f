"""`--config`: which value holds, what a file may say, and what is refused."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from raftwork.cli import main
from raftwork.cli.configuration import Configured

FILE = """
[broker]
name = "b"
cluster = { a = "127.0.0.1:7701", b = "127.0.0.1:7702" }
data = "data/b"
checksums = false
election-timeout = 3

[worker]
app = "tasks:app"
brokers = ["127.0.0.1:7701", "127.0.0.1:7702"]
queues = ["default", "mail"]
concurrency = 4
max-memory-per-child = 1000000
grace = 0.5
"""


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAFTWORK_BROKERS", raising=False)
    (tmp_path / "raftwork.toml").write_text(FILE)


def run(*arguments: str, **env: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--check-config"], env=env)


def shown(command: str, *arguments: str, **env: str) -> dict[str, dict[str, Any]]:
    done = run(command, "--config", "raftwork.toml", "--json", *arguments, **env)
    assert done.exit_code == 0, done.output
    document: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return document


def test_a_flag_goes_before_the_environment_that_before_the_file_and_that_before_the_default() -> (
    None
):
    def queues(*flags: str, **env: str) -> dict[str, Any]:
        return shown("worker", *flags, **env)["queues"]

    variable = {"RAFTWORK_WORKER_QUEUES": "bulk"}
    assert queues("--queues", "x", **variable) == {
        "value": ["x"],
        "from": "command line",
        "where": None,
    }
    assert queues(**variable) == {
        "value": ["bulk"],
        "from": "environment",
        "where": "RAFTWORK_WORKER_QUEUES",
    }
    assert queues() == {"value": ["default", "mail"], "from": "file", "where": "raftwork.toml"}
    assert shown("worker")["pool"] == {"value": "process", "from": "default", "where": None}


def test_all_forms_of_values_are_read() -> None:
    broker = {key: each["value"] for key, each in shown("broker").items()}
    assert broker["cluster"] == {"a": "127.0.0.1:7701", "b": "127.0.0.1:7702"}
    assert (broker["checksums"], broker["election-timeout"]) == (False, 3.0)
    assert broker["heartbeat-interval"] == 0.3, "in proportion"
    worker = {key: each["value"] for key, each in shown("worker").items()}
    assert worker["brokers"] == ["127.0.0.1:7701", "127.0.0.1:7702"]
    assert (worker["app"], worker["concurrency"], worker["grace"]) == ("tasks:app", 4, 0.5)
    assert worker["max-memory-per-child"] == 1_000_000


def test_what_may_be_written_on_the_command_line_may_be_in_a_file() -> None:
    text = '[broker]\nname = "a"\ncluster = "a=127.0.0.1:1"\ndata = "x"\n'
    text += '[worker]\nqueues = "a,b"\nmax-memory-per-child = "1MiB"\napp = "t:app"\n'
    Path("raftwork.toml").write_text(text)
    assert shown("broker")["cluster"]["value"] == {"a": "127.0.0.1:1"}
    assert shown("worker")["queues"]["value"] == ["a", "b"]
    assert shown("worker")["max-memory-per-child"]["value"] == 2**20


def test_every_option_of_a_broker_and_a_worker_is_shown() -> None:
    for name in ("broker", "worker"):
        command = main.commands[name]
        assert isinstance(command, Configured)
        flags = {
            option.opts[0].removeprefix("--")
            for option in command.params
            if isinstance(option, click.Option)
        }
        keys = shown(name).keys() - {"app"}
        assert flags - keys == {"config", "check-config", "json"}
        assert keys <= flags


def test_a_table_of_what_holds_is_for_people() -> None:
    done = run("broker", "--config", "raftwork.toml", "--name", "a", RAFTWORK_LOG_LEVEL="debug")
    assert done.exit_code == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["option", "value", "from"]
    assert ["name", "a", "command", "line"] in lines
    assert ["checksums", "false", "file", "raftwork.toml"] in lines
    assert ["log-level", "debug", "environment", "RAFTWORK_LOG_LEVEL"] in lines
    assert not Path("data").exists(), "nothing was started"


def test_a_path_is_meant_from_the_files_directory(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    Path("raftwork.toml").rename("etc/raftwork.toml")

    def data(*arguments: str, **env: str) -> str:
        done = run("broker", "--config", "etc/raftwork.toml", "--json", *arguments, **env)
        return str(json.loads(done.stdout)["data"]["value"])

    assert data() == str(tmp_path / "etc/data/b")
    assert data("--data", "here") == str(tmp_path / "here"), "a flag's is meant from here"
    assert data(RAFTWORK_BROKER_DATA="here") == str(tmp_path / "here")
    config = Path("etc/raftwork.toml")
    config.write_text(config.read_text().replace('"data/b"', '"/var/lib/b"'))
    assert data() == "/var/lib/b"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[broker]\nbalancr = 'x'", "[broker] has no key 'balancr'; did you mean balancer?"),
        ("[worker]\nlog_level = 'x'", "[worker] has no key 'log_level'; did you mean log-level?"),
        ("[broker]\nqueues = 'x'", "[broker] has no key 'queues'"),
        ("[brokers]\nname = 'x'", "no table 'brokers' is known; did you mean broker?"),
        ("name = 'x'", "no table 'name' is known; there are [broker] and [worker]"),
        ("broker = 'x'", "broker must be a table"),
        ("[worker]\nconcurrency = '8'", "concurrency of [worker] must be an integer, got '8'"),
        ("[worker]\nconcurrency = true", "concurrency of [worker] must be an integer, got true"),
        ("[broker]\ninsecure = 1", "insecure of [broker] must be true or false, got 1"),
        ("[broker]\nname = 5", "name of [broker] must be a string, got 5"),
        ("[broker]\nslow-turn = '1'", "slow-turn of [broker] must be a number, got '1'"),
        ("[worker]\nqueues = [1]", "queues of [worker] must be an array of strings, or one string"),
        ("[broker]\ncluster = ['a']", "must be a table of strings, or one string"),
        ("[worker]\nqueues = ['a,b']", "or one string; commas part them, got ['a,b']"),
        ("[broker]\ncluster = { a = 'h:1,b=h:2' }", "or one string; commas part them, got {'a'"),
        ("[broker]\nconfig = 'x'", "[broker] has no key 'config'"),
        ("[broker", "raftwork.toml: cannot be read: "),
        ("[broker]\ndata = 'a\0'", "raftwork.toml: cannot be read: "),
        ('[broker]\ndata = "a\\u0000"', "data of [broker] must be a string, got 'a\\x00'"),
        ('[worker]\nqueues = ["\\u0000"]', "queues of [worker] must be an array of strings"),
        (f"[worker]\ngrace = 1{400 * '0'}", "grace of [worker] must be a number, got 100"),
        (f"[worker]\nconcurrency = {2**63}", "concurrency of [worker] must be an integer, got 9"),
        (f"[worker]\ngrace = 1{5_000 * '0'}", "raftwork.toml: cannot be read: "),
        (f"[worker]\nqueues = {5_000 * '['}", "cannot be read: brackets within brackets"),
    ],
)
def test_what_is_not_known_or_of_another_type_is_refused(text: str, said: str) -> None:
    """In every table, whichever command reads it."""
    Path("raftwork.toml").write_text(text)
    for command in ("broker", "worker"):
        done = run(command, "--config", "raftwork.toml")
        assert done.exit_code == 2
        assert "raftwork.toml: " in done.output
        assert said in done.output


def test_a_file_from_windows_is_read_and_one_in_utf_16_is_named_so() -> None:
    """Of Notepad: a mark, and line ends of two characters. Of PowerShell's `>`: UTF-16."""
    text = '[worker]\r\napp = "t:app"\r\nconcurrency = 8\r\n'
    Path("raftwork.toml").write_bytes(text.encode("utf-8-sig"))
    done = run("worker", "--config", "raftwork.toml", "--check-config", "--json")
    assert json.loads(done.stdout)["concurrency"]["value"] == 8
    Path("raftwork.toml").write_bytes(text.encode("utf-16"))
    done = run("worker", "--config", "raftwork.toml")
    assert done.exit_code == 2
    assert "raftwork.toml: is not UTF-8 (invalid start byte at byte 0); save it as" in done.output


def test_a_value_that_is_out_of_range_is_named_with_its_place() -> None:
    Path("raftwork.toml").write_text('[worker]\napp = "t:app"\nconcurrency = 0\n')
    done = run("worker", "--config", "raftwork.toml")
    assert done.exit_code == 2
    assert "concurrency of [worker] in raftwork.toml: 0 is not in the range" in done.output
    done = run("worker", "t:app", RAFTWORK_WORKER_POOL="fork")
    assert done.exit_code == 2
    assert "the variable RAFTWORK_WORKER_POOL: 'fork' is not one of" in done.output


def test_a_file_that_is_not_there_is_wrong_usage() -> None:
    assert run("worker", "--config", "none.toml").exit_code == 2
    done = CliRunner().invoke(main, ["worker", "t:app", "--json"])
    assert (done.exit_code, "--json goes with --check-config" in done.output) == (2, True)


def test_the_file_may_be_named_by_the_environment() -> None:
    done = run("worker", "--json", RAFTWORK_CONFIG="raftwork.toml")
    assert json.loads(done.stdout)["concurrency"]["from"] == "file"
