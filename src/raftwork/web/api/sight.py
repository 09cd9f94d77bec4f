"""What answers are made of: the App that asks the leader, and what all brokers said last."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raftwork.errors import RaftworkError
from raftwork.web.timeline import Timeline

if TYPE_CHECKING:
    from raftwork.client.app import App
    from raftwork.web.watch import Seen, Watch


class NoApp(RaftworkError):
    """This process has no key with which it could ask the leader."""


class UnknownQueue(RaftworkError):
    """No queue of this name has, or had, tasks, settings or workers."""


@dataclass(frozen=True, slots=True)
class Sight:
    """For the answers of one process."""

    watch: Watch
    #: None: nothing but what brokers say of themselves can be asked for.
    own_app: App | None
    #: Where logs are kept for long, with {task_id} in it; empty: nowhere.
    log_link: str = ""
    timeline: Timeline = field(default_factory=Timeline)

    @property
    def app(self) -> App:
        """Asks the leader. Raises NoApp."""
        if self.own_app is None:
            raise NoApp(
                "this process may not ask the leader: brokers want keys, and it was given none;"
                " start the broker with --http-key, or `raftwork dashboard --key`"
            )
        return self.own_app

    @property
    def seen(self) -> Seen:
        """What the brokers said last."""
        return self.watch.seen
