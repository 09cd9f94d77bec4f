"""What a program loads with Raftwork: a client waits for no more than it needs."""

import subprocess
import sys

import pytest

from raftwork import features

#: A client's and a worker's: of a capability they need the records, and none of its rules.
NOT_THEIRS = {
    *("raftwork.broker", "raftwork.consensus", "raftwork.cli", "raftwork.chaos"),
    *("raftwork.features.catalogue", "raftwork.features.feature", "raftwork.features.command_line"),
    *("apsw", "click", "rich"),
}
#: What takes long, and is for when there is an App.
LATER = {
    *("raftwork.net", "raftwork.worker"),
    *("asyncio", "concurrent", "json", "logging", "pathlib", "socket", "subprocess", "urllib"),
    *("psutil", "zmq"),
}


def loaded(statement: str) -> set[str]:
    """The modules that it brings, and the packages they are in."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement", ["import raftwork; raftwork.App()", "import raftwork.worker.run"]
)
def test_clients_and_workers_load_records_and_no_rules(statement: str) -> None:
    assert loaded(statement) & NOT_THEIRS == set()


def test_a_program_that_imports_raftwork_waits_for_nothing_else() -> None:
    found = loaded("import raftwork")
    assert found & (NOT_THEIRS | LATER) == set()
    assert {"raftwork.client", "raftwork.wire"} <= found


def test_every_client_knows_the_records_of_every_capability() -> None:
    """A task may have ended as a capability says that the client never uses."""
    modules = {vars(each)["__name__"] for each in features.CAPABILITIES}
    assert modules <= loaded("import raftwork")
