"""Programs that enqueue as programs do: from signal handlers, at exit, in threads, with mistakes."""

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
    ended = alone.sh("timeout -s KILL 40 python program.py")
    assert ended.code == 0, ended.err
    assert alone.status()["queues"]["default"]["queued"] == int(ended.out)
