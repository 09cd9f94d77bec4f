"""`raftwork drain`: let a worker finish what it runs and leave."""

import time

import click

from raftwork.cli.overview import Overview, observe
from raftwork.cli.result import connect
from raftwork.cli.values import brokers_option, timeout_option, usage

#: Seconds between two looks.
_LOOK = 0.2
#: A new leader knows every worker that lives after so many seconds; until then one that it does not
#: list may still be at work.
_KNOWN = 3.0


@click.command("drain")
@click.argument("name")
@click.option("--wait", is_flag=True, help="Wait until it has ended.")
@timeout_option
@brokers_option
def command(name: str, wait: bool, timeout: float | None, brokers: str | None) -> None:
    """Have the worker NAME take nothing new, hand back what waits, finish what runs and exit.

    It is what SIGTERM does, without having to be on its machine. A name that several workers have
    means all of them. Exits 0 once the worker says that it drains; no failover undoes that.

    \b
    Example:
      raftwork drain web1-4711 --wait && systemctl restart raftwork-worker
    """
    with usage():
        app = connect(brokers, timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    lost_before = _listed(observe(brokers), name, "lost") if wait else set()
    with app, usage():
        app.drain(name)
    if wait:
        click.echo(f"{name} drains", err=True)
        _wait(name, brokers, deadline, lost_before)


def _wait(
    name: str, brokers: str | None, deadline: float | None, lost_before: set[tuple[str, int]]
) -> None:
    epoch, known_at = None, 0.0
    while True:
        seen, now = observe(brokers), time.monotonic()
        if seen.epoch != epoch:
            known_at = now + (_KNOWN if epoch is not None else 0.0)
            epoch = seen.epoch
        draining = _listed(seen, name, "draining")
        if seen.leader is not None and not draining and now >= known_at:
            break
        if deadline is not None and now > deadline:
            raise click.ClickException(f"{name} still drains")
        time.sleep(_LOOK)
    if _listed(seen, name, "lost") - lost_before:
        text = f"{name} was lost while it drained: what it ran goes to others"
        raise click.ClickException(text)


def _listed(seen: Overview, name: str, state: str) -> set[tuple[str, int]]:
    return {(w.host, w.pid) for w in seen.workers if (w.name, w.state) == (name, state)}
