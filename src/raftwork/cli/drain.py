"""`raftwork drain`: let a worker finish what it runs and leave."""

import time
from collections import Counter

import click

from raftwork.cli.cluster import Cluster, waits
from raftwork.cli.output import err
from raftwork.client.overview import Overview, observe

#: Seconds between two looks.
_LOOK_S = 0.2
#: A new leader knows every worker that lives after so many seconds; until then one that it does not
#: list may still be at work.
_KNOWN_S = 3.0


@click.command("drain")
@click.argument("name")
@click.option("--wait", is_flag=True, help="Wait until it has ended.")
@waits
def command(cluster: Cluster, name: str, wait: bool) -> None:
    """Have a worker finish what it runs and exit.

    The worker NAME takes nothing new and hands back what waits with it. It is what SIGTERM does,
    without having to be on its machine. A name that several workers have means all of them. Exits 0
    once the worker says that it drains; no failover undoes that.

    \b
    Example:
      raftwork drain web1-4711 --wait && systemctl restart raftwork-worker
    """
    deadline = None if cluster.timeout is None else time.monotonic() + cluster.timeout
    watch = _Watch(name, cluster.brokers, deadline) if wait else None
    with cluster.asked():
        cluster.app.drain(name)
    if watch is not None:
        err(f"{name} drains")
        watch.until_it_has_left()
        err(f"{name} has ended")


class _Watch:
    """The workers of one name, watched from before they are told to drain."""

    def __init__(self, name: str, brokers: str | None, deadline: float | None) -> None:
        """Takes the first look: a worker that is lost already is not lost while it drains."""
        self._name, self._brokers, self._deadline = name, brokers, deadline
        #: As the last look under a leader had it.
        self._lost: Counter[tuple[str, int]] | None = None
        self._any_lost = False
        self._look()

    def _look(self) -> Overview:
        seen = observe(self._brokers)
        if seen.leader is not None:
            # A row is shown for a minute, so each look is compared with the one before it.
            lost = Counter(_listed(seen, self._name, "lost"))
            self._any_lost |= self._lost is not None and bool(lost - self._lost)
            self._lost = lost
        return seen

    def until_it_has_left(self) -> None:
        """Wait for it. Raises ClickException if that takes too long or one of them was lost."""
        epoch, known_at = None, 0.0
        while True:
            seen, now = self._look(), time.monotonic()
            if seen.epoch != epoch:
                known_at = now + (_KNOWN_S if epoch is not None else 0.0)
                epoch = seen.epoch
            draining = _listed(seen, self._name, "draining")
            if seen.leader is not None and not draining and now >= known_at:
                break
            if self._deadline is not None and now > self._deadline:
                raise click.ClickException(f"{self._name} still drains")
            time.sleep(_LOOK_S)
        if self._any_lost:
            text = f"{self._name} was lost while it drained: what it ran goes to others"
            raise click.ClickException(text)


def _listed(seen: Overview, name: str, state: str) -> list[tuple[str, int]]:
    return [(w.host, w.pid) for w in seen.workers if (w.name, w.state) == (name, state)]
