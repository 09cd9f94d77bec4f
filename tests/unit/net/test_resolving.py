"""Names are looked up in threads: no answer waits for another, and none is lost."""

import os
import select
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from raftwork.net.dialling import Answer
from raftwork.net.resolving import ThreadResolver, look_up


class Server:
    """A name server that answers when it is told to."""

    def __init__(self) -> None:
        self.gates = {"slow": threading.Event()}
        self.asked: list[str] = []

    def __call__(self, host: str) -> tuple[str, ...]:
        self.asked.append(host)
        if host in self.gates:
            self.gates[host].wait(30)
        if host == "none":
            raise OSError(-2, "Name or service not known")
        return ("10.0.0.1",)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def threads(server: Server) -> Iterator[ThreadResolver]:
    made = ThreadResolver(server)
    yield made
    server.gates["slow"].set()
    made.close()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.001)


def next_answers(threads: ThreadResolver) -> list[Answer]:
    readable, _, _ = select.select([threads.fileno()], [], [], 30)
    assert readable, "nothing came"
    return threads.answers()


def test_one_that_hangs_delays_no_other(threads: ThreadResolver, server: Server) -> None:
    for host in ("slow", "slow", "quick"):
        threads.ask(host)
    assert next_answers(threads) == [Answer("quick", ("10.0.0.1",))]
    threads.ask("none")
    assert next_answers(threads) == [Answer("none", (), "Name or service not known")]
    wait_until(lambda: "slow" in server.asked, "its thread has begun")
    assert server.asked.count("slow") == 1, "one thread a name"
    assert not select.select([threads.fileno()], [], [], 0)[0], "nothing is left to read"
    server.gates["slow"].set()
    assert next_answers(threads) == [Answer("slow", ("10.0.0.1",))]
    threads.ask("slow")
    assert next_answers(threads) == [Answer("slow", ("10.0.0.1",))]


def test_an_answer_that_comes_after_the_end_touches_no_file(server: Server) -> None:
    threads = ThreadResolver(server)
    threads.ask("slow")
    threads.close()
    read, write = os.pipe()  # they get the numbers that were free
    server.gates["slow"].set()
    for thread in threading.enumerate():
        if thread.name == "raftwork-dns":
            thread.join(30)
    assert not select.select([read], [], [], 0)[0]
    os.close(read)
    os.close(write)
    threads.close()


def test_names_of_this_machine_are_known() -> None:
    assert "127.0.0.1" in look_up("localhost")
    assert look_up("127.0.0.1") == ("127.0.0.1",)
    assert look_up("[::1]") == ("::1",)


@pytest.mark.parametrize("host", ["nosuchhost.invalid", "x" * 64 + ".invalid"])
def test_a_name_that_is_none_is_an_oserror(host: str) -> None:
    with pytest.raises(OSError, match=r".+"):
        look_up(host)
