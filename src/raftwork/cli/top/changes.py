"""What can be changed from the screen: each asks first, is one request to the leader, and says what
came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from raftwork.client.cancelling import GRACE_S

if TYPE_CHECKING:
    from raftwork.client.app import App


class Change(Protocol):
    """One change. Names in it are other people's texts."""

    @property
    def question(self) -> str:
        """What is asked before."""
        ...

    def carry_out(self, app: App) -> str:
        """Do it, and say what was done. Raises what the App does."""
        ...


class Pause(NamedTuple):
    """Hand out nothing of a queue until it is resumed."""

    queue: str

    @property
    def question(self) -> str:
        """What is asked before."""
        return f"Pause the queue {self.queue}? What runs goes on, nothing more is handed out."

    def carry_out(self, app: App) -> str:
        """Pause it."""
        app.queue(self.queue).pause()
        return f"{self.queue} is paused"


class Resume(NamedTuple):
    """End a queue's pause."""

    queue: str

    @property
    def question(self) -> str:
        """What is asked before."""
        return f"Resume the queue {self.queue}? What waits is handed out again."

    def carry_out(self, app: App) -> str:
        """Resume it."""
        app.queue(self.queue).resume()
        return f"{self.queue} is resumed"


class Drain(NamedTuple):
    """Have the workers of a name end."""

    worker: str
    workers: int  # that have the name

    @property
    def question(self) -> str:
        """What is asked before."""
        who = f"{self.worker}" if self.workers == 1 else f"all {self.workers} workers {self.worker}"
        return f"Drain {who}? What runs is finished, nothing more is taken, then it ends."

    def carry_out(self, app: App) -> str:
        """Tell them."""
        app.drain(self.worker)
        return f"{self.worker} drains"


class Cancel(NamedTuple):
    """End a task."""

    id: str
    name: str

    @property
    def question(self) -> str:
        """What is asked before."""
        return (
            f"Cancel {self.name} {self.id}? Its code is asked to end, and after {GRACE_S:g} s is"
            " ended."
        )

    def carry_out(self, app: App) -> str:
        """Ask it to end."""
        asked = app.cancel(ids=[self.id])
        return f"{self.id} is asked to end" if asked else f"{self.id} had ended before"
