"""What a cluster lived through, as batches of commands that every release since 0.1.0 has.

Each ends in another state of a task: waiting, running, delayed, succeeded, failed (what its code
raised, or its time limit), lost, dead, retried, forgotten, given back. It never changes: replicas
of all releases come to the same state by it.
"""

from collections.abc import Sequence

from raftwork.broker.machine.commands import (
    Assign,
    Command,
    Configure,
    Enqueue,
    Expire,
    Fail,
    Finish,
    Lose,
    Purge,
    Release,
    Retry,
    Tick,
)
from raftwork.messages import Failure, Loss, Spec, encode_failure, encode_spec
from raftwork.wire import pack

W1, W2 = b"incarnation of 1", b"incarnation of 2"
START = 1_000_000
FAILURE = encode_failure(Failure("ValueError", "no", "Traceback"))

_PLAIN = Spec("module.plain", "default", retries=1, result_ttl=60_000)
_LATE = Spec("module.late", "default", timeout=1_500, result_ttl=60_000)
_ONCE = Spec("module.once", "once", at_most_once=True, result_ttl=60_000)
_BRIEF = Spec("module.brief", "bulk", result_ttl=10)


def _put(
    time: int, spec: Spec, *tasks: Sequence[object], begin: Sequence[tuple[bytes, int]] = ()
) -> Enqueue:
    return Enqueue(time, encode_spec(spec), pack([list(task) for task in tasks]), list(begin))


#: (machine time, commands). Tasks are numbered from 1 in the order in which they come, tokens in
#: the order in which tasks are handed out.
HISTORY: list[tuple[int, list[Command]]] = [
    (START, [_put(START, _PLAIN, *([f"plain {n}", b"p%d" % n] for n in range(1, 6)))]),  # 1 to 5
    (START + 1, [Configure("bulk", "round_robin", 100, 1 << 20), Assign(W1, [1, 2, 3])]),  # t1–3
    (START + 2, [Finish([(1, b"\x2a")]), Fail(2, FAILURE, START + 10_000), Release([3])]),
    (START + 3, [_put(START, _LATE, ["late 1", b""], ["late 2", b"", "key"])]),  # 6, 7
    (START + 4, [Assign(W2, [6, 7])]),  # t4, t5
    (START + 5, [_put(START, _ONCE, ["once 1", b"o"], ["once 2", b"o"], begin=[(W1, 2)])]),  # 8, 9
    (START + 6, [_put(START, _BRIEF, ["brief 1", b"b"], begin=[(W2, 1)]), Finish([(8, b"\x01")])]),
    (START + 2_000, [Expire(4, 0)]),
    (START + 2_001, [Lose([(6, True)], Loss("w1", signal=9, memory=4_096))]),
    (START + 2_002, [Retry(START, "once 1", "once 1 again"), Assign(W1, [3])]),
    (START + 2_003, [Lose([(9, True)], Loss("w1")), Tick()]),
    (START + 2_004, [Assign(W1, [3]), Lose([(10, True)], Loss("w1", exit=3)), Assign(W2, [3])]),
    (START + 2_005, [Lose([(11, True)], Loss("w2"))]),
    (START + 2_006, [Expire(5, 0), Purge(["late 2"], ""), Assign(W1, [4])]),
    (START + 2_007, [_put(START, _PLAIN, ["plain 1", b"other"], ["plain 9", b"p9"])]),  # refused
    (START + 2_008, [_put(START, _PLAIN, ["plain 5", b"p5"], ["plain 6", b"p6"]), Tick()]),
]
#: Where a replica may stop and another release go on: behind it are failures that brokers find.
HALF = 7
