"""Programs that enqueue as programs do: in signal handlers, at exit, in threads, with mistakes."""

import json

import pytest

from tests.strangers.place import Place


def test_a_signal_handler_may_enqueue_while_the_program_does(alone: Place) -> None:
    """F3: the program hung for ever; an App's timeout did not end it."""
    alone.write(
        "program.py",
        "import random, signal, time\n"
        "from raftwork import App\n"
        "app, handled = App(), 0\n"
        "def handler(signum, frame):\n"
        "    global handled\n"
        "    app.enqueue('t.handled')\n"
        "    handled += 1\n"
        "    signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0002, 0.01))\n"
        "app.enqueue('t.first')\n"
        "signal.signal(signal.SIGALRM, handler)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.001)\n"
        "until, made = time.monotonic() + 3, 1\n"
        "while time.monotonic() < until or handled < 20:\n"
        "    app.enqueue('t.single')\n"
        "    made += 1 + len(app.named('t.batch').enqueue_many([(n,) for n in range(200)]))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0)\n"
        "print(made + handled)\n",
    )
    ended = alone.sh("timeout -s KILL 100 python program.py")
    assert ended.code == 0, ended.err
    assert alone.status()["queues"]["default"]["queued"] == int(ended.out)


TASKS = (
    "from raftwork import App\n"
    "app = App()\n"
    "@app.task(retries=2, backoff=30)\n"
    "def send_mail(to, body, *, self=1, name=2, args=3, kwargs=4, id=5, function=6):\n"
    "    return [to, body, self, name, args, kwargs, id, function]\n"
)


def test_wrong_arguments_are_refused_where_they_are_written(alone: Place) -> None:
    """X3: they were stored, and burned every retry; F9: a parameter named `self` was an error."""
    alone.write("tasks.py", TASKS)
    here = alone.sh("python -c 'import tasks; tasks.send_mail.enqueue(\"only one\")'")
    assert "TypeError: send_mail() missing 1 required positional argument: 'body'" in here.err
    assert not alone.status()["queues"]
    alone.worker()
    there = alone.sh("raftwork enqueue tasks.send_mail one --wait --timeout 60")
    assert there.code == 1
    assert "send_mail() missing 1 required positional argument: 'body'" in there.err
    odd = '{"self": 7, "name": 7, "args": 7, "kwargs": 7, "id": 7, "function": 7}'
    right = alone.sh(f"raftwork enqueue tasks.send_mail a b --kwargs '{odd}' --wait")
    assert (right.code, json.loads(right.out)) == (0, ["a", "b", 7, 7, 7, 7, 7, 7]), right.err


def test_a_program_of_a_package_enqueues_what_its_workers_know(alone: Place) -> None:
    """F21: `python -m pkg` enqueued pkg.mul, and a worker of its module knew pkg.__main__.mul."""
    alone.write("pkg/__init__.py", "")
    alone.write(
        "pkg/__main__.py",
        "from raftwork import App\n"
        "app = App()\n"
        "@app.task\n"
        "def mul(x, y):\n"
        "    return x * y\n"
        "if __name__ == '__main__':\n"
        "    print(mul.enqueue(6, 7).result(timeout=60))\n",
    )
    alone.worker(target="pkg.__main__:app")
    ran = alone.sh("python -m pkg")
    assert (ran.code, ran.out) == (0, "42\n"), ran.err


def test_what_no_worker_can_import_is_refused(alone: Place) -> None:
    """X4: functions typed at a prompt were stored as `<stdin>.f`, for nobody."""
    program = (
        "from raftwork import App\n"
        "app = App()\n"
        "@app.task\n"
        "def f(): return 1\n"
        "\n"
        "print(f())\n"
        "f.enqueue()\n"
    )
    for command in ("python -i", "python -", f"python -c '{program}'"):
        typed = alone.sh(command, stdin=program)
        assert typed.out == "1\n"
        assert "no worker can import" in typed.err
    assert not alone.status()["queues"]


def test_programs_may_enqueue_while_they_end(alone: Place) -> None:
    """F22: a hook that was registered before the first call met a closed App."""
    alone.write(
        "late.py",
        "import atexit, sys, threading, time\n"
        "from raftwork import App\n"
        "app = App()\n"
        "def late(what):\n"
        "    try:\n"
        "        app.enqueue('t.' + what)\n"
        "        print(what, 'stored')\n"
        "    except RuntimeError as error:\n"
        "        print(what, error)\n"
        "atexit.register(late, 'hook')\n"
        "if 'connected' in sys.argv:\n"
        "    app.connect()\n"
        "def outlive():\n"
        "    threading.main_thread().join()\n"
        "    late('thread')\n"
        "threading.Thread(target=outlive).start()\n",
    )
    ran = alone.sh("python late.py connected")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "thread stored\nhook stored\n"
    bare = alone.sh("python late.py")
    assert (bare.code, bare.err) == (0, "")
    for line in bare.out.splitlines():  # Python 3.12 starts no threads any more
        assert line.endswith("stored") or "app.connect()" in line


def test_gevent_may_replace_threads(alone: Place) -> None:
    """F13: the client's thread became a greenlet that never let the others run."""
    pytest.importorskip("gevent", reason="gevent is not among the locked dependencies")
    alone.write(
        "tasks.py", "from raftwork import App\napp = App()\n@app.task\ndef one(): return 1\n"
    )
    alone.write(
        "program.py",
        "from gevent import monkey; monkey.patch_all()\n"
        "import gevent, tasks\n"
        "def calls(): return tasks.one.enqueue().result(timeout=60)\n"
        "waiting = gevent.spawn(calls)\n"
        "turns = 0\n"
        "while not waiting.ready():\n"
        "    turns += 1\n"
        "    gevent.sleep(0.001)\n"
        "print(waiting.get(), turns > 1)\n",
    )
    alone.worker()
    ran = alone.sh("timeout -s KILL 100 python program.py")
    assert (ran.code, ran.out) == (0, "1 True\n"), ran.err
