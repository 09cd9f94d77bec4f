"""The child that answers HTTP: a broker starts it, starts it again, and ends it."""

import subprocess
from pathlib import Path
from typing import cast

from raftwork.broker.http_child import HttpChild
from raftwork.broker.options import BrokerConfig
from raftwork.broker.peer_events import HttpEnded
from raftwork.keys import Role, encoded, new_key
from raftwork.net.tended_child import AGAIN_MS


class Child:
    """In place of a process."""

    def __init__(self) -> None:
        self.returncode: int | None = None
        self.killed = False
        self.stdin = Pipe()
        self.stdout = None

    def poll(self) -> int | None:
        return self.returncode

    def kill(self) -> None:
        self.killed = True

    def wait(self) -> None:
        assert self.killed


class Pipe:
    """In place of its standard input."""

    def __init__(self) -> None:
        self.came: list[bytes] = []
        self.error: OSError | None = None

    def write(self, data: bytes) -> None:
        if self.error is not None:
            raise self.error
        self.came.append(data)


class Spawning:
    def __init__(self) -> None:
        self.children: list[Child] = []
        self.commands: list[list[str]] = []
        self.error: OSError | None = None
        self.make: type[Child] = Child

    def __call__(self, command: list[str], **_: object) -> "subprocess.Popen[bytes]":
        if self.error is not None:
            raise self.error
        self.commands.append(command)
        self.children.append(self.make())
        return cast("subprocess.Popen[bytes]", self.children[-1])


def child(listen: str = "") -> tuple[HttpChild, Spawning, list[object]]:
    config = BrokerConfig(
        name="b",
        cluster={"a": "127.0.0.1:1", "b": "127.0.0.1:2"},
        data=Path("x"),
        listen=listen,
        http="127.0.0.1:7780",
        insecure=bool(listen),
    )
    spawn, told = Spawning(), list[object]()
    return HttpChild(config, told.append, spawn=spawn), spawn, told


def test_it_is_started_once_and_again_after_pauses_that_grow() -> None:
    one, spawn, told = child()
    for now in (0, 100):
        one.tend(now)
    assert len(spawn.children) == 1
    spawn.children[0].returncode = 3
    one.tend(1_000)
    assert told == [HttpEnded("127.0.0.1:7780", "it ended with status 3")]
    one.tend(999 + AGAIN_MS)
    assert len(spawn.children) == 1
    one.tend(1_000 + AGAIN_MS)
    assert len(spawn.children) == 2
    spawn.children[1].returncode = 3
    one.tend(3_000)
    one.tend(2_999 + 2 * AGAIN_MS)
    assert len(spawn.children) == 2
    one.tend(3_000 + 2 * AGAIN_MS)
    assert len(spawn.children) == 3


def test_that_it_cannot_be_started_is_told_and_no_more() -> None:
    one, spawn, told = child()
    spawn.error = OSError(11, "Resource temporarily unavailable")
    one.tend(0)
    why = "it cannot be started: Resource temporarily unavailable"
    assert told == [HttpEnded("127.0.0.1:7780", why)]
    spawn.error = None
    one.tend(AGAIN_MS)
    assert len(spawn.children) == 1


def test_it_ends_with_the_broker() -> None:
    one, spawn, _ = child()
    one.tend(0)
    one.close()
    assert spawn.children[0].killed
    one.close()


def test_it_asks_the_broker_where_this_machine_reaches_it() -> None:
    for listen, at in (("", "127.0.0.1:2"), ("0.0.0.0:5", "127.0.0.1:5"), ("[::]:5", "[::1]:5")):
        one, spawn, _ = child(listen)
        one.tend(0)
        (command,) = spawn.commands
        assert command[command.index("--brokers") + 1] == f"{at},127.0.0.1:1"


def test_its_key_is_not_the_brokers_and_is_handed_over_where_nobody_sees_it(
    tmp_path: Path,
) -> None:
    own, key = new_key("b", [Role.PEER]), new_key("http", [Role.READER])
    config = BrokerConfig(
        name="b",
        cluster={"a": "127.0.0.1:1", "b": "127.0.0.1:2"},
        data=tmp_path,
        http="127.0.0.1:7780",
        key=own,
        access=tmp_path / "access.toml",
    )
    spawn, told = Spawning(), list[object]()
    one = HttpChild(config, told.append, key, spawn)
    one.tend(0)
    (command,), (process,) = spawn.commands, spawn.children
    assert command[command.index("--access") + 1] == str(tmp_path / "access.toml")
    assert not {"--key", encoded(key.secret), encoded(own.secret)} & set(command)
    assert process.stdin.came == [key.secret]


def test_one_that_ends_before_it_has_its_key_is_one_that_cannot_be_started() -> None:
    one, spawn, told = child()
    one._key = new_key("http", [Role.READER])

    class Gone(Child):
        def __init__(self) -> None:
            super().__init__()
            self.stdin.error = BrokenPipeError(32, "Broken pipe")

    spawn.make = Gone
    one.tend(0)
    assert spawn.children[0].killed
    assert told == [HttpEnded("127.0.0.1:7780", "it cannot be started: Broken pipe")]
    spawn.make = Child
    one.tend(AGAIN_MS)
    assert len(spawn.children) == 2


def test_nothing_of_the_directory_that_a_broker_was_started_in_is_run(tmp_path: Path) -> None:
    """It may be anybody's, or have a module that is called like one of Python's."""
    (tmp_path / "argparse.py").write_text("raise SystemExit(7)")
    one, spawn, _ = child()
    one.tend(0)
    command = spawn.commands[0]
    program = command[: command.index("raftwork.web") + 1]
    ended = subprocess.run(
        [*program, "--help"], cwd=tmp_path, capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
