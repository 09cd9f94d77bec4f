"""Lanes have the same numbers on every replica."""

from raftwork.broker.machine.commands import Assign, Command, Finish, encode_batch
from raftwork.features.enqueue import Admit
from raftwork.messages import Spec, encode_spec
from raftwork.wire import pack
from tests.unit.broker.machine.driver import START, WORKER, Driver


def put(id_: str) -> Admit:
    return Admit(START, encode_spec(Spec("job", "default", priority=101)), pack([[id_, b"x"]]))


def test_lanes_are_the_same_whenever_a_replica_writes_what_changed() -> None:
    """A replica writes after each entry, or after several that were committed together."""
    entries: list[Command] = [put("a"), Assign(WORKER, [1]), Finish([(1, b"")]), put("b")]
    often, once = Driver(), Driver()
    for entry in entries:
        often.apply(entry)
    once.db.execute("BEGIN")
    for entry in entries:
        once.machine.apply(encode_batch(once.now, [entry]))
    once.machine.flush()
    once.db.execute("COMMIT")
    assert often.machine.digest() == once.machine.digest()
    assert [number for number, *_ in once.machine.lanes("default")] == [2]
