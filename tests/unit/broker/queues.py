"""A real queue machine in memory, for the tests of what stands on it."""

from dataclasses import dataclass, field

import apsw

from raftwork.broker.machine import ClusterSettings, Machine, create_or_migrate
from raftwork.broker.machine.commands import Command, encode_batch
from raftwork.features.effects import Applied, Effect
from raftwork.features.enqueue import Admit
from raftwork.messages import Spec, encode_spec
from raftwork.release import LEVELS, Levels
from raftwork.wire import pack

SPEC = Spec("job", "default")


def enqueue(*ids: str, spec: Spec = SPEC, payload: bytes = b"payload", created: int = 0) -> Admit:
    return Admit(created, encode_spec(spec), pack([[id_, payload] for id_ in ids]))


@dataclass
class Queues:
    """A machine and the log it applies; `time` is the time of the next entries."""

    settings: ClusterSettings = field(default_factory=ClusterSettings)
    time: int = 1_000
    level: int = LEVELS.most
    levels: Levels = LEVELS

    def __post_init__(self) -> None:
        self.db = apsw.Connection(":memory:")
        create_or_migrate(self.db, self.settings, self.level)
        self.machine = Machine(self.db, self.levels)

    def apply(self, *commands: Command) -> Applied:
        return self.machine.apply(encode_batch(self.time, list(commands)))

    def effects(self, *commands: Command) -> list[Effect]:
        return self.apply(*commands).effects
