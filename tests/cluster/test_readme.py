"""What the README and the examples show works as shown."""

import ast
import subprocess
import sys
from pathlib import Path

from tests.cluster.conftest import MakeCluster
from tests.cluster.harness import ROOT, run_cli

EXAMPLE = ROOT / "examples" / "tasks.py"


def blocks(language: str) -> list[str]:
    """The README's code blocks in one language."""
    parts = (ROOT / "README.md").read_text().split("```")[1::2]
    return [part.removeprefix(language) for part in parts if part.startswith(f"{language}\n")]


def test_the_two_commands_are_the_first_the_readme_shows() -> None:
    first = blocks("sh")[0].split("\n")
    assert [line.split("#")[0].strip() for line in first if line] == ["make demo", "make test"]


def test_the_quick_start_and_the_example_work_as_shown(
    make_cluster: MakeCluster, tmp_path: Path
) -> None:
    cluster = make_cluster()
    cluster.start()
    module, use = blocks("python")
    (cluster.directory / "tasks.py").write_text(module)
    cluster.local.start_worker("w1", "tasks:app", "--concurrency", "2")
    done = cluster.cli(*["enqueue", "tasks.add", "1", "2", "--wait", "--timeout", "20"])
    assert (done.code, done.out) == (0, "3\n"), done
    body = "\n    ".join(line for line in use.strip().splitlines())
    asked = f"import asyncio\nasync def main():\n    {body}\nasyncio.run(main())\n"
    ast.parse(asked)
    env = cluster.env | {"RAFTWORK_BROKERS": cluster.brokers}
    subprocess.run(
        [sys.executable, "-c", asked], cwd=cluster.directory, env=env, check=True, timeout=60
    )


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
    first, second = ran.stdout.splitlines()
    assert first == str([2 * n for n in range(10)])
    assert second.startswith("order-7: 1250 cents under token ")


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
