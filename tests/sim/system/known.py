"""What is known of a task, by what was applied."""

from dataclasses import dataclass, field

from raftwork.messages import Spec, State


@dataclass(slots=True)
class Known:
    """A committed task."""

    seq: int
    id: str
    spec: Spec
    contents: int
    size: int
    token: int | None = None
    attempts: int = 0
    failures: int = 0
    losses: int = 0
    outcome: tuple[State, bytes] | None = None
    key: str = ""
    #: When it came in with a batch.
    entered_at: int = 0
    #: Since when it waits to be handed out; None while it does not.
    waits_since: int | None = None
    #: Whether its code was asked to end, and when (machine time) it is ended.
    asked: bool = False
    grace_ends: int = 0
    #: The arguments that replaced its own ones.
    arguments: bytes = b""
    #: Whether it has code: a flow, a join and what was replaced have none.
    has_code: bool = True
    #: Whether its code began in an attempt that is over.
    begun: bool = False
    tags: list[tuple[str, str]] = field(default_factory=list)

    @property
    def losses_allowed(self) -> int:
        """So many losses end it."""
        return 1 if self.spec.at_most_once else self.spec.max_losses
