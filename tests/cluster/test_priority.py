"""Priority, place and order of keys: as printed, and under the next leader."""

from pathlib import Path

from tests.cluster.conftest import PORTS, Home
from tests.cluster.harness import PATIENCE, Cluster
from tests.cluster.test_tutorial import Pupil

PAGE = Path(__file__).parents[2] / "docs" / "howto-priority-and-order.md"
ONE_BY_ONE = ("--concurrency", "1", "--pool", "thread")


def test_priority_place_and_order_of_keys_outlive_the_leader(cluster: Cluster) -> None:
    named = cluster.app.named
    low = [run.id for run in named("add", priority=-5).enqueue_many([(1,), (2,)])]
    usual = named("add").enqueue(3).id
    done = cluster.cli("enqueue", "add", "4", "--priority", "7")
    assert done.code == 0, done.err
    high = [done.out.strip(), named("add", priority=7).enqueue(5).id]
    key = [
        named("add", ordered=True, key="k", priority=priority).enqueue(6).id
        for priority in (-9, 90)
    ]
    old = cluster.leader()
    cluster.kill(old)
    cluster.wait_for_leader(other_than=old)
    cluster.start_worker("w1", *ONE_BY_ONE)
    for task in (*low, *high, *key):
        cluster.app.run(task).result(timeout=PATIENCE)
    started = [mark.task for mark in cluster.marks(what="start")]
    assert started == [*high, usual, *low, *key]


def test_the_page_on_priority_and_order_works_as_printed(home: Home) -> None:
    page = Pupil(home, PAGE)
    place = home.place
    for name, text in page.files.items():
        place.write(name, text)
    tutorial = Pupil(home)
    for name in PORTS:
        place.start(
            f"{tutorial.only(f'raftwork broker --name {name} ')} --consensus {place.consensus}",
            name,
        )
    place.wait_until(lambda: place.status()["leader"], "one leads")

    def sh(line: str) -> str:
        done = place.sh(line)
        assert done.code == 0, done.err
        return done.out

    def done() -> list[str]:
        file = place.directory / "done.txt"
        return file.read_text().splitlines() if file.exists() else []

    sh("python urgent.py")
    sh(page.only('raftwork enqueue shop.mail "shop'))
    place.start(page.only("raftwork worker "), "worker")
    mails = ["shop is down", "password reset", "newsletter 1", "newsletter 2"]
    place.wait_until(lambda: len(done()) == 4, "all mails are sent")
    assert done() == mails

    sh("python accounts.py")
    place.wait_until(lambda: len(done()) == 7, "what is not halted is booked")
    assert sh("python go_on.py") == "True\n"
    place.wait_until(lambda: "bob 300" in done(), "the rest is booked")
    booked = done()[4:]
    assert [line for line in booked if line.startswith("ada")] == ["ada 100", "ada -30"]
    assert [line for line in booked if line.startswith("bob")] == ["bob 200", "bob 300"]
    assert sh("raftwork queue resume-key default bob") == "keys resumed: 0\n"

    sh(page.only("raftwork queue set "))
    sh(page.only("raftwork enqueue shop.mail hello"))
    place.wait_until(lambda: done()[-1] == "hello", "it is sent")
