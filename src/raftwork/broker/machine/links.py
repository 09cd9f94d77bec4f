"""What the machine knows by heart of flows: what ended in this entry, and how much there is.

The tables hold all of it; see features/flow_nodes.py.
"""

import apsw

from raftwork.broker.machine import level_two

_SUMS = """SELECT coalesce(sum(nodes), 0), coalesce(sum(edges), 0), coalesce(sum(pinned), 0),
    coalesce(sum(pinned_bytes), 0), count(*) FROM flow"""

_SIGNALS = "SELECT coalesce(sum(length(value)), 0) FROM signal WHERE seq = 0"

_UNMADE = "SELECT coalesce(sum(length(spec) + length(payload)), 0) FROM unmade"


class Links:
    """Of one machine. The lists are empty between entries."""

    def __init__(self, db: apsw.Connection, level: int) -> None:
        #: Tasks with edges, or of a flow, that have their outcomes since the last look.
        self.ended: list[int] = []
        #: Those of an earlier entry with edges that were too many for it.
        self.unfired: list[int] = []
        #: Rows without code that wait for nothing.
        self.ready: list[int] = []
        #: Ids of tasks by their numbers, as they are told to workers; of the newest asked for.
        self.ids: dict[int, str] = {}
        #: Of all flows that are kept: nodes, edges, and results that they have not let go.
        self.nodes = self.edges = self.pinned = self.pinned_bytes = self.flows = 0
        if level >= level_two.LEVEL:
            sums: tuple[int, int, int, int, int] = db.execute(_SUMS).get
            self.nodes, self.edges, self.pinned, self.pinned_bytes, self.flows = sums
        #: Unfinished tasks that one worker alone may have (features/pins.py).
        self.pins = 0
        #: Bytes of what was said to flows (features/signal_rows.py).
        self.signal_bytes = 0
        #: … and of what it takes to run failed nodes again (features/flow_nodes.py).
        self.unmade_bytes = 0
        if level >= level_two.LEVEL:
            self.signal_bytes = int(db.execute(_SIGNALS).get)
            self.unmade_bytes = int(db.execute(_UNMADE).get)
            self.pins = int(db.execute("SELECT count(*) FROM pin").get)

    def pin(self, count: int, size: int) -> None:
        """A flow keeps so many more results; or, negative, fewer."""
        self.pinned += count
        self.pinned_bytes += size

    @property
    def waiting(self) -> bool:
        """Whether there is anything to do before the entry is over."""
        return bool(self.ended or self.unfired or self.ready)
