"""What all commands that ask a cluster share: the App, its options, and exit codes.

    @click.command("show")
    @click.argument("name")
    @shows
    def command(cluster: Cluster, name: str) -> Shown: ...

`asks` passes a command its cluster and adds `--timeout` and `--brokers`; `shows` also `--json`;
`waits` is for those with a `--wait`. An error of the cluster exits 1, a value that the library
refuses 2.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

from raftwork import App
from raftwork.cli.values import (
    addresses_option,
    brokers_option,
    json_option,
    print_json,
    timeout_option,
    usage,
    wait_timeout_option,
)
from raftwork.cli.wait_explanation import explained

P = ParamSpec("P")
T = TypeVar("T")


class Cluster:
    """The cluster at `--brokers`, for as long as `--timeout` says."""

    def __init__(self, brokers: str | None, timeout: float | None) -> None:
        self.brokers = brokers
        #: Seconds; None if it was not given.
        self.timeout = timeout
        #: Enqueueing and asking take no longer than `--timeout` either.
        self.app = connect(brokers, timeout)

    @contextmanager
    def asked(self, queue: str | None = None) -> Iterator[None]:
        """While the code within waits for an answer: `explained`, and `usage`."""
        with explained(self.brokers, queue), usage():
            yield


class Shown(NamedTuple):
    """A result: the document that `--json` prints, and what shows it otherwise."""

    document: object
    show: Callable[[], None]


def connect(brokers: str | None, timeout: float | None) -> App:
    """An App for one command."""
    return App(brokers=brokers) if timeout is None else App(brokers=brokers, timeout=timeout)


def waits(function: Callable[Concatenate[Cluster, P], T], *, key: bool = True) -> Callable[..., T]:
    """As `asks`, for a command that says itself what it waits for, and since when.

    Without `key` it has a `--key` of its own.
    """
    options = brokers_option if key else addresses_option
    return wait_timeout_option(_connected(function, options))


def asks(function: Callable[Concatenate[Cluster, P], T]) -> Callable[..., T]:
    """Call the command with the cluster first; explain on stderr what holds it up."""

    @wraps(function)
    def command(cluster: Cluster, /, *args: P.args, **given: P.kwargs) -> T:
        with cluster.asked():
            return function(cluster, *args, **given)

    return timeout_option(_connected(command))


def shows(function: Callable[Concatenate[Cluster, P], Shown]) -> Callable[..., None]:
    """As `asks`, and print what the command returns."""
    ask = asks(function)

    @wraps(ask)
    def command(*args: object, as_json: bool, **given: object) -> None:
        shown = ask(*args, **given)
        if as_json:
            print_json(shown.document)
        else:
            shown.show()

    return json_option(command)


def _connected(
    function: Callable[Concatenate[Cluster, P], T],
    options: Callable[[Callable[..., T]], Callable[..., T]] = brokers_option,
) -> Callable[..., T]:
    @options
    @wraps(function)
    def command(brokers: str | None, timeout: float | None, *args: P.args, **given: P.kwargs) -> T:
        with usage():
            cluster = Cluster(brokers, timeout)
        with cluster.app:
            return function(cluster, *args, **given)

    return command
