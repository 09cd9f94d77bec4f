"""Somebody has many tasks and may run but few at a time."""

import itertools
import re
from pathlib import Path

from tests.strangers.place import Place

PAGE = Path(__file__).parents[2] / "docs" / "howto-limits.md"
_BLOCK = re.compile(r"```(\w+)(?: title=\"([\w.]+)\")?\n(.*?)```", re.DOTALL)


def test_the_page_works_as_printed(alone: Place) -> None:
    blocks: list[tuple[str, str, str]] = _BLOCK.findall(PAGE.read_text())
    for _, title, text in blocks:
        if title:
            alone.write(title, text)
    (printed,) = [text for language, _, text in blocks if language == "text"]
    refused = alone.sh(
        "raftwork enqueue pay.charge 1 && python -c 'from pay import *; charge.enqueue(1)'"
    )
    assert "no limit 'stripe'; there is none: set it first" in refused.err
    alone.worker("--concurrency 4", target="pay:app")
    done = alone.sh("python many.py")
    assert done.out == printed, done.err
    (lines,) = [text.splitlines() for language, _, text in blocks if language == "sh"]
    for line in lines:
        said = alone.sh(line)
        assert said.code == 0, (line, said)
        if line.endswith("limit list"):
            assert re.search(r"stripe +2 +0 +30/s +2", said.out), said.out
    assert alone.status()["queues"]["default"]["concurrency"] == 8
    assert alone.sh("python -c 'from pay import *; print(charge.enqueue(1).result(60)[0] > 0)'").out


def test_limits_hold_while_leaders_and_workers_die(place: Place) -> None:
    place.write(
        "tasks.py",
        "import fcntl, os, time\n"
        "from raftwork import App\n"
        "app = App()\n"
        "@app.task(limits=['one'], retries=0, max_losses=9)\n"
        "def alone(n):\n"
        "    began = time.time()\n"
        "    time.sleep(0.05)\n"
        "    with open('spans', 'a') as file:\n"
        "        file.write(f'{os.getppid()} {n} {began} {time.time()}\\n')\n",
    )
    brokers = place.brokers()
    assert place.sh("raftwork limit set one --concurrency 1 --per key").code == 0
    workers = [place.worker("--concurrency 3", name=f"w{i}") for i in range(2)]
    place.write(
        "program.py",
        "from tasks import app, alone\n"
        "with app:\n"
        "    runs = [run for key in 'abc' for run in\n"
        "        alone.options(key=key).enqueue_many([(f'{key}{n}',) for n in range(25)])]\n"
        "    print('in', flush=True)\n"
        "    for run in runs: run.result(60)\n",
    )
    program = place.start("python program.py", "program")
    spans = place.directory / "spans"
    place.wait_until(lambda: spans.exists() and spans.read_text().count("\n") > 10, "some runs")
    leader = place.leader()
    brokers[leader].kill()
    place.leader(other_than=leader)
    workers[0].kill()
    place.wait_until(lambda: program.code is not None, "the end")
    assert program.code == 0, program.text
    rows = [line.split() for line in spans.read_text().splitlines()]
    ran: dict[str, list[tuple[float, float]]] = {}
    for _, n, began, ended in rows:
        ran.setdefault(n[0], []).append((float(began), float(ended)))
    for key, times in ran.items():
        times.sort()
        overlaps = [(a, b) for a, b in itertools.pairwise(times) if b[0] < a[1]]
        assert not overlaps, (key, overlaps)
    assert {n for _, n, *_ in rows} == {f"{key}{n}" for key in "abc" for n in range(25)}
