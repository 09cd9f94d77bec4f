"""`raftwork top`: a cluster in a terminal, and what can be changed there."""

from __future__ import annotations

import logging
import sys
from importlib.util import find_spec

import click

from raftwork.cli.values import brokers_option, usage


@click.command("top")
@brokers_option
def command(brokers: str | None) -> None:
    """Watch the cluster in a terminal.

    Queues, workers, what runs and the brokers, once a second; it goes on by itself through a
    failover. Keys sort, pause and resume a queue, drain a worker and cancel a task, each after a
    question. It needs the extra `top`: pip install 'raftwork[top]'. `raftwork status --watch` needs
    nothing, and writes to files and pipes.

    \b
    Example:
      raftwork top
      raftwork top --brokers 10.0.0.1:7701,10.0.0.2:7701,10.0.0.3:7701
    """
    if find_spec("textual") is None:
        raise click.ClickException("top needs more: pip install 'raftwork[top]'")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):  # where it draws, as stdout may be a pipe
        raise click.UsageError(
            "top needs a terminal on stdin and stderr; `raftwork status --watch` needs none"
        )
    from raftwork.cli.top.asking import Asking
    from raftwork.cli.top.screen import Top
    from raftwork.client.app import App
    from raftwork.web.watch import Watch

    # A line of a log would be written over what is shown, and what it says is shown.
    logging.basicConfig(handlers=[logging.NullHandler()], force=True)
    with usage():
        app = App(brokers)
    with app:
        asking = Asking(Watch(app.brokers, key=app.key), app)
        asking.start()
        Top(asking).run()
