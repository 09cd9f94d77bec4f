"""Key x state x policy at random: the machine beside a model of a few lines."""

from dataclasses import dataclass

from hypothesis import example, given, settings
from hypothesis import strategies as st

from raftwork.broker.machine.commands import Fail, Finish, Lose, Release
from raftwork.features.cancel import CancelSome, Scope
from raftwork.features.effects import Done
from raftwork.features.enqueue import Admit
from raftwork.messages import Extras, OnConflict, Spec, State, encode_spec
from raftwork.wire import pack
from tests.unit.broker.machine.driver import FAILURE, Driver

_SPECS = st.builds(
    lambda conflict, started, period, debounce: Spec(
        *("t", "default"),
        retries=9,
        max_losses=2,
        result_ttl=10_000,
        until_started=started,
        period=period,
        on_conflict=OnConflict.RETURN if debounce else conflict,
        debounce=debounce,
        max_wait=3 * debounce,
    ),
    st.sampled_from(OnConflict),
    st.booleans(),
    st.sampled_from((0, 0, 50)),
    st.sampled_from((0, 0, 20)),
)
_PUT = st.tuples(st.just("put"), _SPECS, st.lists(st.sampled_from("xxy"), min_size=1, max_size=3))
_STEPS = (
    *("start", "start", "finish", "fail", "later", "lose", "release", "reopen"),
    *("cancel", "cancel"),
)
_STEP: st.SearchStrategy[tuple[str, object, list[str]]] = st.tuples(
    st.sampled_from(_STEPS),
    st.sampled_from((1, 10, 40)),
    st.just([]),
)
_AGAIN: st.SearchStrategy[tuple[str, object, list[str]]] = st.tuples(
    st.just("again"), st.integers(0, 30), st.just([])
)


@dataclass
class Task:
    """What the model knows of one."""

    id: str
    key: str
    spec: Spec
    body: bytes
    created: int
    begun: bool = False
    over: bool = False

    @property
    def holds(self) -> bool:
        return not self.over and not (self.begun and self.spec.until_started)


class World:
    """The machine and the model."""

    def __init__(self) -> None:
        self.driver = Driver()
        self.tasks: dict[str, Task] = {}
        self.merged: dict[str, str] = {}
        #: By key: until when, and the last task that had it.
        self.period: dict[str, tuple[int, str]] = {}
        self.commands: list[Admit] = []
        self.rows: list[list[tuple[str, bytes, str]]] = []
        self.number = 0

    def put(self, spec: Spec, keys: list[str]) -> None:
        rows = []
        for key in keys:
            self.number += 1
            rows.append((f"t{self.number}", f"{self.number}".encode(), key))
        packed = pack([(id_, body, "", Extras(unique=key)) for id_, body, key in rows])
        command = Admit(self.driver.now, encode_spec(spec), packed)
        due = self._expected(spec, rows)
        assert self.driver.apply(command).replies == [Done(existing=tuple(due))]
        self.commands.append(command)
        self.rows.append(rows)

    def again(self, which: int) -> None:
        """Nothing of what has entered, or has become part of another task, does so again."""
        if which >= len(self.commands):
            return
        rows = self.rows[which]
        if not all(id_ in self.tasks or id_ in self.merged for id_, *_ in rows):
            return
        told = [(i, self.merged[id_]) for i, (id_, *_) in enumerate(rows) if id_ in self.merged]
        applied = self.driver.apply(self.commands[which])
        assert applied.replies == [Done(existing=tuple(told))]

    def _expected(self, spec: Spec, rows: list[tuple[str, bytes, str]]) -> list[tuple[int, str]]:
        """The answer; the model changes unless the batch is refused."""
        tasks, merged, period = dict(self.tasks), dict(self.merged), dict(self.period)
        bodies = {id_: task.body for id_, task in tasks.items()}
        told = []
        for at, (id_, body, key) in enumerate(rows):
            other = self._one(spec, id_, body, key)
            if other is not None:
                told.append((at, other))
        if told and spec.on_conflict is OnConflict.RAISE:
            self.tasks, self.merged, self.period = tasks, merged, period
            for id_, body in bodies.items():
                tasks[id_].body = body
        return told

    def _one(self, spec: Spec, id_: str, body: bytes, key: str) -> str | None:
        now = self.driver.now
        there = [task for task in self.tasks.values() if task.key == key and task.holds]
        assert len(there) <= 2
        until, last = self.period.get(key, (0, ""))
        replaces = spec.on_conflict is OnConflict.REPLACE or spec.debounce > 0
        one_more = replaces or spec.on_conflict is OnConflict.RERUN
        if there and one_more:
            target = there[0] if not there[0].begun else there[1] if len(there) > 1 else None
            if target is not None:
                if replaces:
                    target.body = body
                    self.merged[id_] = target.id
                return target.id
        elif there:
            return there[0].id
        elif until > now and not one_more:
            return last
        self.tasks[id_] = Task(id_, key, spec, body, now)
        if not there:
            ends = max(now, until) + spec.period if spec.period else 0
            self.period[key] = (ends, id_)
        return None

    def step(self, what: str, much: int) -> None:
        driver = self.driver
        match what:
            case "start":
                for task in driver.waiting()[:1]:
                    known = self.tasks[task.id]
                    assert task.payload == known.body
                    driver.assign(task.seq)
                    known.begun = True
            case "later":
                driver.now += much
            case "reopen":
                driver.reopen()
                return
            case "cancel":
                self._cancel()
            case _:
                for run in list(driver.machine.running())[:1]:
                    self._end(what, run.token, run.id, much)
        driver.tick()

    def _end(self, what: str, token: int, id_: str, much: int) -> None:
        driver = self.driver
        match what:
            case "finish":
                driver.apply(Finish([(token, b"")]))
            case "fail":
                driver.apply(Fail(token, FAILURE, driver.now + much))
            case "lose":
                driver.apply(Lose([(token, True)]))
            case _:
                driver.apply(Release([token]))
        if driver.state(id_).final:
            self._settled(self.tasks[id_])

    def _cancel(self) -> None:
        """All of them in one entry: none of them has the next turn."""
        there = [task for task in self.tasks.values() if not task.over]
        blocked = {task.id for task in there if self.driver.state(task.id) is State.BLOCKED}
        self.driver.apply(CancelSome(Scope.ALL, [], "", "", 1 << 30, 0, 1 << 40, 1_000, False))
        for task in sorted(there, key=lambda task: task.id not in blocked):
            if self.driver.state(task.id).final:
                self._settled(task)

    def _settled(self, task: Task) -> None:
        held = task.holds
        task.over = True
        there = [each for each in self.tasks.values() if each.key == task.key and each.holds]
        if held and there:
            until, period = self.period.get(task.key, (0, ""))[0], there[0].spec.period
            ends = max(self.driver.now, until) + period if period else 0
            self.period[task.key] = (ends, there[0].id)

    def check(self) -> None:
        """Of what has the key one is not blocked; and nothing debounced waits beyond its end."""
        for key in "xy":
            there = [task for task in self.tasks.values() if task.key == key and task.holds]
            blocked = [task for task in there if self.driver.state(task.id) is State.BLOCKED]
            assert len(there) - len(blocked) <= 1
            assert len(blocked) <= 1
        state = self.driver.machine.state
        ((count,),) = self.driver.db.execute("SELECT count(*) FROM unique_key")
        assert state.keys == count
        for queue in state.queues.values():
            phases = "SELECT count(*) FROM task WHERE phase = ?"
            counted = [self.driver.db.execute(phases, (phase,)).get for phase in (1, 4, 5)]
            assert [queue.delayed, queue.scheduled, queue.blocked] == counted
            sizes = "SELECT coalesce(sum(length(body)), 0) FROM task WHERE phase IN (0, 1, 4, 5)"
            running = sum(run.size for run in self.driver.machine.running())
            ((size,),) = self.driver.db.execute(sizes)
            assert queue.bytes == size - running


_RERUN = Spec("t", "default", retries=9, on_conflict=OnConflict.RERUN)
#: A task follows one that waits for a retry, and all are cancelled in one entry.
_CANCELLED_TOGETHER: list[tuple[str, object, list[str]]] = [
    ("put", _RERUN, ["x"]),
    ("start", 1, []),
    ("fail", 40, []),
    ("put", _RERUN, ["x"]),
    ("cancel", 1, []),
]


@settings(max_examples=150, deadline=None)
@example(_CANCELLED_TOGETHER)
@given(st.lists(_PUT | _STEP | _AGAIN, max_size=40))
def test_every_key_state_and_policy(steps: list[tuple[str, object, list[str]]]) -> None:
    world = World()
    for what, much, keys in steps:
        if isinstance(much, Spec):
            world.put(much, keys)
        elif what == "again":
            world.again(int(str(much)))
        else:
            world.step(what, int(str(much)))
        world.check()
    # All of it ends, and every key is free.
    while any(not task.over for task in world.tasks.values()) or world.driver.machine.state.keys:
        world.step("later", 100)
        world.step("start", 0)
        world.step("finish", 0)
