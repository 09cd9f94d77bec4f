"""The Apps of this process: for what happens to all of them, such as a fork."""

import os
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raftwork.client.app import App

#: In the order in which they were made.
_apps: "dict[weakref.ref[App], None]" = {}


def remember(app: "App") -> None:
    """It is one of them as long as anything refers to it."""
    made: weakref.ref[App] = weakref.ref(app, _forget)
    _apps[made] = None


def known_apps() -> "list[App]":
    """The Apps of this process, in the order in which they were made."""
    return [app for known in list(_apps) if (app := known()) is not None]


def revive(brokers: tuple[str, ...], timeout: int, key: str = "") -> "App":
    """Unpickle an App: this process's App with the same settings, else a new one."""
    from raftwork.client.app import App

    for app in known_apps():
        if app._is(brokers, timeout, key):  # noqa: SLF001
            return app
    return App(brokers, timeout / 1000, key or None)


def _forget(app: "weakref.ref[App]") -> None:
    _apps.pop(app, None)


def _after_fork() -> None:
    for app in known_apps():
        app.start_afresh()


os.register_at_fork(after_in_child=_after_fork)
