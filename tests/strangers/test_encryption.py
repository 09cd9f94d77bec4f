"""Somebody keeps contents from brokers, with the page alone."""

import re
from contextlib import suppress
from pathlib import Path

from tests.strangers.place import Place

PAGE = Path(__file__).parents[2] / "docs" / "howto-encryption.md"
_FILE = re.compile(r"```python title=\"([\w.]+)\"\n(.*?)```", re.DOTALL)
_LINE = re.compile(r"```sh title=\"(\w+)\"\n(.*?)\n```", re.DOTALL)
_PRINTED = re.compile(r"prints:\n\n```\n(.*?)```", re.DOTALL)


def test_the_page_works_as_printed_and_no_broker_has_seen_it(alone: Place) -> None:
    text = PAGE.read_text()
    lines = dict(_LINE.findall(text))
    for name, body in _FILE.findall(text):
        alone.write(name, body)
    assert alone.sh(lines["make"]).code == 0
    alone.start(f"env {lines['worker']}", "w1")
    (printed,) = _PRINTED.findall(text)
    done = alone.sh("RAFTWORK_SECRETS=contents.secret python pay.py")
    assert done.out == printed, done.err
    asked = alone.sh(
        "RAFTWORK_SECRETS=contents.secret raftwork enqueue vault.charge 4111-1111 1 --wait --id one"
    )
    assert asked.out == '"charged 4111-1111"\n', asked.err
    blind = alone.sh("raftwork result one")
    assert blind.code == 1
    assert "CannotDecrypt" in blind.err
    (dead,) = re.findall(r"[0-9a-f-]{36}", alone.sh("raftwork dead list").out)[:1]
    again = alone.sh(f"RAFTWORK_SECRETS=contents.secret raftwork dead retry {dead}")
    assert again.code == 0, again.err
    shown = alone.sh(f"RAFTWORK_SECRETS=contents.secret raftwork dead show {dead}")
    assert "cannot be charged -7" in shown.out, shown
    _unseen(alone, b"4111-1111", b"cannot be charged")


FLOWS = """
import time
from raftwork import App, RateLimited, TaskFailed, chain, chord, current, group, replace
app = App()

@app.task
def mark(text): return f"plain-{text}"

@app.task
def both(texts): return [*texts, "plain-both"]

@app.task
def fail(text): raise ValueError(f"plain-{text}")

@app.task
def look(found): return f"plain-{found[0].message}-{found[1]}"

@app.task
def more(text):
    current().spawn(mark, "hush-spawned")
    return replace(chord([mark.s(text), again.s(text)], both.s()))

@app.task
def again(text): return replace(mark.s(f"again-{text}"))

@app.task
def wide(text): return [f"plain-{text}", 7]

@app.task
def shard(text): return [f"plain-{text}", current().shard]

@app.task(retries=0)
def late(text): raise RateLimited(retry_after=0.1, limit=text) if current().attempt == 1 else None

@app.schedule("nightly", cron="@yearly", args=("hush-declared",))
@app.task
def tick(text): return f"plain-{text}"
"""
USE_FLOWS = """
from flows import *

def failed(run):
    try: return run.result(60)
    except TaskFailed as error: return str(error)

print(chain(mark.s("one"), mark.s()).enqueue().result(60))
print(group(mark.s("a"), group(mark.s("b"), mark.s("c"))).enqueue().result(60))
print(chord([mark.s("a"), mark.s("b")], both.s()).enqueue().result(60))
print(chord([], both.s()).enqueue().result(60))
print(wide.map(["x", "y", "z"], chunk=2).enqueue().result(60))
print(chain(mark.map(["x", "y", "z"], chunk=2), both.s()).enqueue().result(60))
print(chain(group(fail.s("no"), mark.s("yes"), on_error="continue"), look.s()).enqueue().result(60))
print(failed(chain(fail.s("no"), mark.s()).enqueue("broken")))
print(failed(app.flow("broken").retry()))
print(group(fail.s("no"), mark.s("yes"), on_error="continue").enqueue().result(60)[0].message)
print(more.enqueue("x").result(60))
print(chain(more.s("y"), both.s()).enqueue().result(60))
print(shard.broadcast("hush-all").enqueue().result(60))
with app.flow("signals") as flow:
    flow.add(both, [flow.wait("go"), flow.add(mark, "z")])
flow.on_success(mark)
app.signal("signals", "go", "plain-said")
print(flow.result(60))
print(app.schedules.trigger("nightly").result(60))
app.schedules.update("nightly", args=("hush-updated",))
print(app.schedules.trigger("nightly").result(60), app.schedules.get("nightly").args)
app.schedules.create("own", tick, cron="@yearly", kwargs={"text": "hush-own"})
print(app.schedules.trigger("own").result(60), app.schedules.get("own").kwargs)
"""
PRINTED = """plain-plain-one
['plain-a', ['plain-b', 'plain-c']]
['plain-a', 'plain-b', 'plain-both']
['plain-both']
[['plain-x', 7], ['plain-y', 7], ['plain-z', 7]]
['plain-x', 'plain-y', 'plain-z', 'plain-both']
plain-plain-no-plain-yes
ValueError: plain-no
ValueError: plain-no
plain-no
['plain-x', 'plain-again-x', 'plain-both']
['plain-y', 'plain-again-y', 'plain-both', 'plain-both']
[['plain-hush-all', [0, 1]]]
['plain-said', 'plain-z', 'plain-both']
plain-hush-declared
plain-hush-updated ['hush-updated']
plain-hush-own {'text': 'hush-own'}
"""


def test_flows_and_schedules_do_the_same_and_no_broker_has_seen_it(alone: Place) -> None:
    alone.write("flows.py", FLOWS)
    alone.write("use.py", USE_FLOWS)
    assert alone.sh("raftwork keys secret > contents.secret; chmod 600 contents.secret").code == 0
    alone.env["RAFTWORK_SECRETS"] = "contents.secret"
    alone.worker("--concurrency 4", "flows:app")
    done = alone.sh("python use.py")
    assert done.out == PRINTED, done.err
    shown = alone.sh("raftwork result signals; raftwork show signals")
    assert "plain-said" in shown.out, shown
    _unseen(alone, b"plain-", b"hush-")


UNIQUE = """
import asyncio, time
from raftwork import App, current
app = App()

@app.task(priority=9)
def hold(): time.sleep(0.5)

@app.task
def keep(text): return f"plain-{text}"

@app.task
async def ask(text): return [await current().call(keep, text), f"plain-{text}"]
"""
USE_UNIQUE = """
from unique import *

async def main():
    held = hold.enqueue()
    for how in {"on_conflict": "replace"}, {"debounce": 0.3, "max_wait": 2}:
        call = keep.options(unique=str(how), **how)
        runs = [call.enqueue(f"hush-{number}") for number in range(3)]
        waits = runs[1].report().args
        print(runs[0] == runs[2], waits, (await runs[1].areport()).args)
        print(runs[2].result(30), (await runs[2].areport()).value)
    print(ask.enqueue("x").result(30))

asyncio.run(main())
"""
PRINTED_UNIQUE = """True ['hush-2'] ['hush-2']
plain-hush-2 plain-hush-2
True ['hush-2'] ['hush-2']
plain-hush-2 plain-hush-2
['plain-x', 'plain-x']
"""


def test_what_replaces_a_tasks_arguments_is_read_by_its_worker_and_by_nobody_else(
    alone: Place,
) -> None:
    alone.write("unique.py", UNIQUE)
    alone.write("use.py", USE_UNIQUE)
    assert alone.sh("raftwork keys secret > contents.secret; chmod 600 contents.secret").code == 0
    alone.env["RAFTWORK_SECRETS"] = "contents.secret"
    alone.worker("--pool thread --concurrency 1", "unique:app")
    done = alone.sh("python use.py")
    assert done.out == PRINTED_UNIQUE, done.err
    _unseen(alone, b"plain-", b"hush-")


def _unseen(place: Place, *words: bytes) -> None:
    kept = [path for path in (place.directory / "data").rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        with suppress(FileNotFoundError):  # the broker has removed it meanwhile
            text = path.read_bytes()
            assert not [word for word in words if word in text], path
