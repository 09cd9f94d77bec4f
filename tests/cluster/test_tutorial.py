"""The tutorial works as printed, from its empty directory to the leader that is killed."""

import re
import signal
from pathlib import Path

import pytest

from tests.cluster.conftest import PORTS, Home

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
#: A block of code: its language, the file it is to be put into if it says one, and its text.
_BLOCK = re.compile(r"```(\w+)(?: title=\"([\w.]+)\")?\n(.*?)```", re.DOTALL)


class Pupil:
    """What a reader of the tutorial, or of another page, types."""

    def __init__(self, home: Home, page: Path = TUTORIAL) -> None:
        self.place = home.place
        text = home.adapted(page.read_text())
        found: list[tuple[str, str, str]] = _BLOCK.findall(text)
        self.files = {title: body for _, title, body in found if title}
        self.lines = [
            line for language, _, body in found if language == "sh" for line in body.splitlines()
        ]

    def only(self, beginning: str) -> str:
        """The one line that begins so."""
        (line,) = [line for line in self.lines if line.startswith(beginning)]
        return line


@pytest.fixture
def pupil(home: Home) -> Pupil:
    return Pupil(home)


def walk_the_first_hour(pupil: Pupil) -> None:
    """One command, an edit, a typed task, a schedule, a test and an executor."""
    place = pupil.place
    dev = place.start(pupil.only("raftwork dev "), "dev")
    enqueue = pupil.only("raftwork enqueue shop.charge order-0 ")
    done = place.sh(enqueue)
    assert done.out.startswith('"order-0: 100 cents, charged under token '), done
    place.write("shop.py", pupil.files["shop.py"].replace(" cents, charged", " euros, charged"))
    place.wait_until(lambda: "100 euros" in place.sh(enqueue).out, "the edited code")
    done = place.sh(pupil.only("python parcel.py"))
    assert done.out == "2027-01-01 18:00:00+00:00\n", done
    done = place.sh(pupil.only("raftwork schedule next "))
    assert done.code == 0 and len(done.out.splitlines()) == 3, done
    assert place.sh(pupil.only("raftwork schedule trigger ")).code == 0
    place.wait_until(lambda: "worker | counted the stock of 20" in dev.text, "it ran")
    done = place.sh(pupil.only("python -m pytest "))
    assert "2 passed" in done.out, done
    done = place.sh(pupil.only("python spread.py"))
    assert done.out == "['to the owner of order-1', 'to the owner of order-2']\n", done
    dev.signal(signal.SIGINT)
    place.wait_until(lambda: dev.code == 0, "Ctrl-C ends it")
    place.write("shop.py", pupil.files["shop.py"])


def test_the_tutorial_works_as_printed(pupil: Pupil) -> None:
    place = pupil.place
    for name, text in pupil.files.items():
        place.write(name, text)
    walk_the_first_hour(pupil)
    brokers = {
        name: place.start(
            f"{pupil.only(f'raftwork broker --name {name} ')} --consensus {place.consensus}", name
        )
        for name in PORTS
    }
    place.start(pupil.only("raftwork worker "), "worker")
    place.wait_until(lambda: place.status()["workers"], "the worker is listed")

    done = place.sh(pupil.only("raftwork enqueue shop.charge order-1 "))
    assert done.code == 0, done.err
    assert done.out.startswith('"order-1: 1250 cents, charged under token ')
    done = place.sh("python order.py")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1].startswith("order-2: 990 cents, charged under token ")

    leader = place.leader()
    counting = place.start("python many.py", "many")
    place.wait_until(lambda: "20 of 100" in counting.text, "it counts")
    counting.signal(signal.SIGSTOP)  # it may not end before this machine has come to the kill
    kill = pupil.only("kill -9 ").replace("data/a/", f"data/{leader}/")
    assert place.sh(kill).code == 0
    place.wait_until(lambda: brokers[leader].code is not None, "the leader is gone")
    assert "100 of 100" not in counting.text, "it was killed too late to show anything"
    counting.signal(signal.SIGCONT)
    place.wait_until(lambda: counting.code is not None, "it ends")
    assert counting.code == 0, counting.text
    assert counting.text.splitlines()[-1] == "100 of 100"
