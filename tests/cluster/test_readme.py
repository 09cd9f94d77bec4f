"""What the README and the examples show works as shown."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from tests.cluster.conftest import PORTS, Home, MakeCluster
from tests.cluster.harness import ROOT, run_cli
from tests.strangers.place import PATIENCE, Background, Place

EXAMPLE = ROOT / "examples" / "tasks.py"


def blocks(language: str) -> list[str]:
    """The README's code blocks in one language."""
    parts = (ROOT / "README.md").read_text().split("```")[1::2]
    return [part.removeprefix(language) for part in parts if part.startswith(f"{language}\n")]


class Reader:
    """Somebody with the README in front of them, and a directory of their own."""

    def __init__(self, home: Home) -> None:
        self.place = place = home.place
        self.module, self.program = map(home.adapted, blocks("python"))
        self.alone, starts, uses = map(home.adapted, blocks("sh")[1:4])
        (mapping,) = [line for line in starts.splitlines() if line.startswith("CLUSTER=")]
        place.env["CLUSTER"] = mapping.removeprefix("CLUSTER=")
        self.starts = [line for line in starts.splitlines() if line.startswith("raftwork ")]
        self.uses = uses.strip().splitlines()
        self.running: dict[str, Background] = {}

    def terminal(self, line: str) -> str:
        """Type one of the four lines into a terminal of its own; the broker's name, or worker."""
        protocol = f" --consensus {self.place.consensus}" if "raftwork broker" in line else ""
        words = line.split()
        name = words[words.index("--name") + 1] if "--name" in words else "worker"
        self.running[name] = self.place.start(line + protocol, name)
        return name

    def run_program(self) -> None:
        """The program, whose last line is a coroutine's."""
        body = f"import asyncio\nasync def main():\n{indent(self.program, '    ')}\n"
        ast.parse(body)
        self.place.write("program.py", f"{body}asyncio.run(main())\n")
        done = self.place.sh("python program.py")
        assert done.code == 0, done.err

    def run_commands(self) -> None:
        """The commands; what is printed behind one is what it prints."""
        for line in self.uses:
            command, _, comment = line.partition("#")
            done = self.place.sh(command)
            assert done.code == 0, (line, done.err)
            if comment.strip().isdigit():
                assert done.out == f"{comment.strip()}\n", line

    def leader(self) -> str:
        leader: str = self.place.wait_until(lambda: self._status()["leader"], "a leader")
        return leader

    def _status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.place.sh("raftwork status --json").out)
        return status

    def level(self) -> bool:
        rows = self._status()["brokers"]
        roles = sorted(row["role"] for row in rows)
        return roles == ["follower", "follower", "leader"] and (
            len({row["applied"] for row in rows}) == 1
        )


@pytest.fixture
def reader(home: Home) -> Reader:
    return Reader(home)


def test_the_two_commands_are_the_first_the_readme_shows() -> None:
    first = blocks("sh")[0].split("\n")
    assert [line.split("#")[0].strip() for line in first if line] == ["make demo", "make test"]


def test_the_quick_start_works_as_printed_and_so_does_what_it_says_can_be_killed(
    reader: Reader,
) -> None:
    """Every line in order; then any one broker is killed, stopped, and loses its disk."""
    place, running = reader.place, reader.running
    place.write("tasks.py", reader.module)
    names = [reader.terminal(line) for line in reader.starts]
    assert names == ["a", "b", "c", "worker"]
    reader.run_program()
    reader.run_commands()

    killed = reader.leader()
    running[killed].kill()
    reader.run_commands()
    (place.directory / "data" / killed).rename(place.directory / "lost")
    bulk = "app.named('t.take', queue='bulk').enqueue_many([(b'x' * 1_000_000,)] * 10)"
    filled = place.sh(f'python -c "from tasks import app\nfor _ in range(10): {bulk}"')
    assert filled.code == 0, filled.err
    start = dict(zip(names, reader.starts, strict=True))
    reader.terminal(start[killed])  # an empty disk, and a log that is long since cut: by snapshot
    place.wait_until(reader.level, f"{killed} is level again", within=2 * PATIENCE)
    for broker in PORTS:
        assert running[broker].code is None, running[broker].text
    for broker in PORTS:
        running[broker].kill()
        reader.terminal(start[broker])
        place.wait_until(reader.level, f"{broker} is level again", within=2 * PATIENCE)
    reader.run_program()
    reader.run_commands()
    for each in running.values():
        assert each.stop() == 0, each.text


def test_one_command_runs_the_module_of_the_quick_start(reader: Reader) -> None:
    place = reader.place
    place.write("tasks.py", reader.module)
    dev = place.start(reader.alone.strip(), "dev")
    (line,) = (line for line in reader.uses if line.startswith("raftwork enqueue"))
    done = place.wait_until(lambda: _done(place, line), "it is done")
    assert done == "3\n"
    assert dev.stop() == 0, dev.text


def _done(place: Place, line: str) -> str:
    return place.sh(line.partition("#")[0]).out


def test_the_example_runs(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(("solo",))
    cluster.start()
    (cluster.directory / "tasks.py").write_text(EXAMPLE.read_text())
    cluster.local.start_worker("w1", "tasks:app", "--pool", "thread", "--concurrency", "2")
    ran = subprocess.run(
        [sys.executable, "tasks.py"],
        cwd=cluster.directory,
        env=cluster.env | {"RAFTWORK_BROKERS": cluster.brokers},
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
    )
    first, second, third = ran.stdout.splitlines()
    assert first == str([2 * n for n in range(10)])
    assert second.startswith("order-7: 1250 cents under token ")
    assert third == "20"


def test_the_readmes_broker_flags_are_understood(tmp_path: Path) -> None:
    shell = next(block for block in blocks("sh") if "raftwork broker" in block)
    assert "raftwork worker tasks:app" in shell
    line = next(line for line in shell.splitlines() if line.startswith("raftwork broker --name a"))
    cluster = next(line for line in shell.splitlines() if line.startswith("CLUSTER="))
    arguments = line.replace("$CLUSTER", cluster.removeprefix("CLUSTER=")).split()[1:]
    # Understood, and refused only for what was added to it.
    done = run_cli(*arguments, "--nosuch", cwd=tmp_path)
    assert done.code == 2
    assert "--nosuch" in done.err
