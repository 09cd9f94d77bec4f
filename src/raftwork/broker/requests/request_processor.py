"""Requests of clients to the active leader, carried out by the rules of the features. Sans-IO.

1. A change is acknowledged when its entry is applied, never before (G1); whatever is still open
   when leadership ends is simply forgotten: the client asks the next leader with the same ids (G2).
   What stands already is acknowledged at once: to ask again costs the log and the disks nothing.
2. A read is answered only behind a read barrier (G7): a deposed leader would answer with stale
   state. A state read later than the barrier is true all the same, so answers go out by slices.
3. A request is measured before anything is made of it, and what is under way is bounded, in number
   and in bytes, for each feature by itself. So is what a key enters, if that has a rate.
4. What raises while one request is carried out refuses that one, with the reason, and is logged if
   it is none of REFUSALS. It must not end the leadership: the client would ask the next leader.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple, cast

from raftwork.broker.access.rates import Rates
from raftwork.broker.access.rights import admins_alone, queues_of
from raftwork.broker.containment import Containment, log_contained
from raftwork.broker.events import QueueFullRefusal, RequestRefused, unheard
from raftwork.broker.machine.commands import encode_command
from raftwork.broker.requests.confinement import concealed, confined
from raftwork.broker.requests.read_barrier import ReadBarrier
from raftwork.broker.service_counters import ServiceCounters
from raftwork.errors import ProtocolError, QueueFull
from raftwork.features.audit import DONE, NoteAction, NoteAudit, noted, under_key
from raftwork.features.catalogue import FEATURES
from raftwork.features.effects import Done, Rejected
from raftwork.features.feature import REFUSALS, Change, Read, Subscribe, Wait
from raftwork.messages import Code, Refused
from raftwork.messages.bounds import lists, objections
from raftwork.wire import maker

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from raftwork.broker.access.access_list import Grant
    from raftwork.broker.events import Event
    from raftwork.broker.requests.view import View
    from raftwork.features.effects import Reply
    from raftwork.features.feature import Deferred, Feature, Rule, Slices
    from raftwork.messages import FromBroker
    from raftwork.messages.registry import Command, Frame

#: What a request costs beside its frame, so that a flood of empty ones is bounded, too.
REQUEST_BYTES = 512
#: What an item of a list costs beside its bytes, once it is an object.
ITEM_BYTES = 64
#: Work of reads in one turn (1 is about 10 µs). A million ids at once would silence a leader for
#: longer than its followers wait before they elect another one.
TURN_WORK = 2_000

#: Rules of requests that do something.
_ACTS = (Change, Wait)
#: A session's request: its routing id, what it is, and its number.
Key = tuple[bytes, type["Frame"], int]


class Tally:
    """What is under way of one feature."""

    def __init__(self, feature: Feature, *, scans: bool = False) -> None:
        """`scans`: of the requests that look through all tasks; see Change."""
        self._about, self.budget = feature.about, feature.budget
        self._about += " that look through all tasks" if scans else ""
        self.scans = scans
        self.requests = 0
        self.bytes = 0

    def check(self, cost: int) -> None:
        """Raise QueueFull unless one more of this cost may come in."""
        for what, held, new, most in (
            ("requests", self.requests, 1, self.budget.requests),
            ("bytes of requests", self.bytes, cost, self.budget.bytes),
        ):
            if held + new > most:
                raise QueueFull(
                    f"the leader takes in no more for now: {held} {what} about {self._about} are "
                    f"under way, {most} may be; try again later"
                )

    def add(self, cost: int) -> None:
        """A request of this cost is under way."""
        self.requests += 1
        self.bytes += cost

    def remove(self, cost: int) -> None:
        """A request of this cost has ended."""
        self.requests -= 1
        self.bytes -= cost


class _Service(NamedTuple):
    """How requests of one type are dealt with."""

    rule: Rule
    feature: Feature
    objection: Callable[[Frame], str | None]
    lists: tuple[int, ...]  # at which fields


_SERVICES = {
    rule.request: _Service(rule, feature, objections(rule.request), lists(rule.request))
    for feature in FEATURES
    for rule in feature.rules
}


class OpenRequest(NamedTuple):
    """A request that is under way: where its answer goes, and what it costs meanwhile."""

    key: Key
    request: Frame
    rule: Rule
    tally: Tally
    cost: int
    #: Of its sender's key.
    grant: Grant | None = None
    #: Under whose key it goes into the audit; empty if it does not.
    who: str = ""
    #: Tasks that were taken of its key's rate for it.
    charged: int = 0


class Wanted(NamedTuple):
    """A change on its way into the log."""

    open: OpenRequest
    change: Command | Deferred

    def command(self, view: View) -> Command:
        """What to propose."""
        if isinstance(self.change, tuple):
            return self.change
        return self.change.command(view)


_open, _wanted = maker(OpenRequest), maker(Wanted)


class _Reading(NamedTuple):
    open: OpenRequest
    slices: Slices


class RequestProcessor:
    """All client requests of one leadership. Requests in; frames, commands and barriers out."""

    def __init__(
        self,
        view: View,
        tell: Callable[[Event], None] = unheard,
        counters: ServiceCounters | None = None,
        containment: Containment | None = None,
    ) -> None:
        self.view = view
        self._containment = containment or Containment(log_contained)
        self._tell = tell
        self._counters = counters or ServiceCounters()
        self._requests = self._counters.requests
        self._tallies = {feature.about: Tally(feature) for feature in FEATURES}
        self._frames: list[tuple[bytes, FromBroker]] = []
        #: The changes to propose; drained by `wanted`.
        self.changes: list[Wanted] = []
        self._scanning = {feature.about: Tally(feature, scans=True) for feature in FEATURES}
        #: The rests of large changes. Each turn has the next part of one of either kind.
        self._rests, self._scans = deque[Wanted](), deque[Wanted]()
        self._turn = 0
        self.noted: list[NoteAudit] = []  # for `audit`
        self._open: set[Key] = set()
        #: Of these, those of sessions that are gone.
        self._left: set[Key] = set()
        self._rates = Rates()
        self.read_barrier = ReadBarrier[_Reading]()
        self._ready: deque[_Reading] = deque()
        #: Those that wait until all workers are heard.
        self._early: list[OpenRequest] = []
        self._waits: dict[Key, tuple[OpenRequest, Generator[None, None, Frame]]] = {}
        self._impatient = 0  # of them: those that are to be looked at in every turn

    # ---- requests -----------------------------------------------------------------------------

    def request(
        self, routing: bytes, request: Frame, size: int, grant: Grant | None = None
    ) -> None:
        """A client's request, which came in a frame of `size` bytes, under a key of that grant."""
        kind = type(request)
        self._requests[kind] += 1
        number: int = request[0]  # type: ignore[assignment] # so begin all requests
        key = (routing, kind, number)
        if key in self._open:
            return  # asked again while the first one is under way
        service = _SERVICES[kind]
        cost = size + REQUEST_BYTES
        for at in service.lists:
            cost += ITEM_BYTES * len(cast("list[object]", request[at]))
        who = ""
        if grant is not None and type(service.rule) in _ACTS and admins_alone(request):
            who = grant.name
        try:
            wrong = service.objection(request)
            if wrong is not None:
                raise ProtocolError(wrong)
            if who and isinstance(request, NoteAction):
                request, who = under_key(request, who), ""  # it is itself a row of the audit
            charged = 0
            if grant is not None:
                if grant.confined:
                    request = self._confine(routing, request, grant)
                charged = self._charge(service.rule, request, size, grant)
            tally = self._tally(service, request)
            self._take(_open((key, request, service.rule, tally, cost, grant, who, charged)))
        except REFUSALS as error:
            if who:
                self.noted.append(noted(who, request, str(error)))
            self._refuse(routing, request, Code(error.code), str(error))

    def _tally(self, service: _Service, request: Frame) -> Tally:
        rule = service.rule
        scans = type(rule) is Change and rule.scans is not None and rule.scans(request)
        return (self._scanning if scans else self._tallies)[service.feature.about]

    def _charge(self, rule: Rule, request: Frame, size: int, grant: Grant) -> int:
        """Take the tasks that it makes of its key's rate, before it costs us more; how many."""
        limited = grant.tasks_per_second or grant.bytes_per_second
        if not limited or type(rule) is not Change or rule.grows is None:
            return 0
        tasks = rule.grows(self.view, request)
        self._rates.take(grant, tasks, size, self.view.time)
        return tasks

    def _confine(self, routing: bytes, request: Frame, grant: Grant) -> Frame:
        """What is left to do of a request whose sender may deal with some queues only."""
        self.view.results.confine(routing, grant)
        left, answer = confined(self.view.state, request, grant)
        if answer is not None:
            self._frames.append((routing, answer))
        return left

    def _take(self, asked: OpenRequest) -> None:
        rule, tally = asked.rule, asked.tally
        match rule:
            case Change():
                if rule.waits and not self.view.all_heard and rule.waits(asked.request):
                    tally.check(asked.cost)
                    self._hold(asked)
                    self._early.append(asked)
                    return
                change = rule.check(self.view, asked.request)
                if type(change) is Done:
                    self._note(asked)
                    self._frames.append((asked.key[0], self._answer(rule, asked, change)))
                    return
                # What stands already was acknowledged.
                if rule.grows is not None and self.view.disk.shortage:
                    raise QueueFull(self.view.disk.shortage)
                self._hold(asked)
                self.changes.append(_wanted((asked, change)))
            case Read():
                self._hold(asked)
                self.read_barrier.add(_Reading(asked, rule.slices(self.view, asked.request)))
            case Wait():
                self._hold(asked)
                self._waits[asked.key] = asked, rule.polls(self.view, asked.request)
                self._impatient += rule.each_turn
            case Subscribe():
                tally.check(asked.cost)
                answer, rest = rule.begin(self.view, asked.key[0], asked.request)
                self._frames.append((asked.key[0], answer))
                if rest is not None:  # what is asked again while it is read is begun again
                    tally.add(asked.cost)
                    self.read_barrier.add(_Reading(asked, rest))

    def _answer(self, rule: Change, asked: OpenRequest, done: Done) -> Frame:
        answer = rule.answer(self.view, asked.request, done)
        # For a session that is gone nothing is watched any more: nobody would end that.
        if rule.subscribe is not None and asked.key not in self._left:
            answer = rule.subscribe(self.view, asked.key[0], asked.request, answer)
        return answer

    def _hold(self, asked: OpenRequest) -> None:
        """It is under way. Raises QueueFull."""
        asked.tally.check(asked.cost)
        asked.tally.add(asked.cost)
        self._open.add(asked.key)

    def _end(self, asked: OpenRequest, answer: Frame | None) -> None:
        """It is under way no more."""
        self._open.discard(asked.key)
        if self._left:
            self._left.discard(asked.key)
        asked.tally.remove(asked.cost)
        if answer is not None:
            if asked.grant is not None and asked.grant.confined:
                answer = concealed(self.view.state, answer, asked.grant)
            self._frames.append((asked.key[0], answer))

    def _fail(self, asked: OpenRequest, code: Code, text: str) -> None:
        self._end(asked, None)
        self._refuse(asked.key[0], asked.request, code, text)

    def _refusal(self, request: Frame, error: Exception) -> tuple[Code, str]:
        """Why a request is refused that raised this; raises it again if it ends the replica."""
        if isinstance(error, REFUSALS):
            return Code(error.code), str(error)
        if self._containment.ends(error):
            raise error
        kind = type(request).__name__
        self._containment.report(f"the request {kind} of a client", error)
        return Code.OTHER, (
            f"the leader failed at the request {kind}: {type(error).__name__}: {error!s:.300};"
            " its log has more"
        )

    def _refuse(self, routing: bytes, request: Frame, code: Code, text: str) -> None:
        number: int = request[0]  # type: ignore[assignment] # as in `request`
        self._frames.append((routing, Refused(number, code, text)))
        rule, full = _SERVICES[type(request)].rule, code is Code.QUEUE_FULL
        if type(rule) is Change and rule.grows is not None:
            self._counters.refused(queues_of(request), code, self.view.state.queues)
        self._tell(QueueFullRefusal(text) if full else RequestRefused(text))

    def gone(self, routing: bytes) -> None:
        """The session is closed: drop its answers. The changes that it asked for stand."""
        self.view.results.gone(routing)
        self._left.update(key for key in self._open if key[0] == routing)
        for key in [key for key in self._waits if key[0] == routing]:
            self._end(self._no_longer_waits(key), None)

    def _note(self, asked: OpenRequest, outcome: str = DONE) -> None:
        if asked.who:
            self.noted.append(noted(asked.who, asked.request, outcome))

    def audit(self) -> list[NoteAudit]:
        """What goes into the log of what admins did, drained."""
        if not self.noted:
            return []
        out, self.noted = self.noted, []
        return out if self.view.machine.level >= 2 else []

    # ---- changes ------------------------------------------------------------------------------

    def wanted(self) -> list[Wanted]:
        """The changes to propose, drained."""
        out, self.changes = self.changes, []
        return out

    def encoded(self, wanted: Wanted) -> bytes | None:
        """What to propose; None if that cannot be told, and the change is refused."""
        try:
            return encode_command(wanted.command(self.view))
        except Exception as error:  # noqa: BLE001 - see 4 above
            asked = wanted.open
            self._note_and_fail(asked, *self._refusal(asked.request, error))
            return None

    def applied(self, wanted: Wanted, reply: Reply) -> None:
        """The fate of a change, or of one part of it."""
        asked, change = wanted
        if not isinstance(change, tuple):
            try:
                decided = change.applied(self.view, reply)
            except Exception as error:  # noqa: BLE001 - see 4 above
                decided = Rejected(*self._refusal(asked.request, error))
            if decided is None:
                (self._scans if asked.tally.scans else self._rests).append(wanted)
                return
            reply = decided
        rule = asked.rule
        assert type(rule) is Change
        if type(reply) is Done:
            if asked.grant is not None and rule.made is not None:
                self._rates.give_back(asked.grant, asked.charged - rule.made(reply))
            if asked.who:
                self._note(asked)
            self._end(asked, self._answer(rule, asked, reply))
        else:
            assert isinstance(reply, Rejected)
            self._note_and_fail(asked, reply.code, reply.text)

    def _note_and_fail(self, asked: OpenRequest, code: Code, text: str) -> None:
        self._note(asked, text)
        self._fail(asked, code, text)

    # ---- waits --------------------------------------------------------------------------------

    @property
    def polls(self) -> bool:
        """Whether anything is to be looked at where something happened."""
        return bool(self._waits or self._rests or self._scans or self._early)

    @property
    def polls_each_turn(self) -> bool:
        """Whether anything is to be looked at in every turn."""
        return bool(self._rests or self._scans or self._early or self._impatient)

    def poll(self, now: int) -> None:
        """Answer what can be answered by now, and go on with large changes. Cheap if none wait.

        A broker that is alone commits at once, and plans again in the same turn: a change that went
        on then would be one long turn without an answer to any other request.
        """
        if now > self._turn:
            self._turn = now
            self.changes += [rests.popleft() for rests in (self._rests, self._scans) if rests]
        if self._early and self.view.all_heard:
            self._take_early()
        for key, (asked, polls) in list(self._waits.items()):
            try:
                next(polls)
            except StopIteration as end:
                self._no_longer_waits(key)
                self._note(asked)
                self._end(asked, end.value)
            except Exception as error:  # noqa: BLE001 - see 4 above
                self._no_longer_waits(key)
                self._note_and_fail(asked, *self._refusal(asked.request, error))

    def _no_longer_waits(self, key: Key) -> OpenRequest:
        asked, _ = self._waits.pop(key)
        assert isinstance(asked.rule, Wait)
        self._impatient -= asked.rule.each_turn
        return asked

    def _take_early(self) -> None:
        """All workers are heard by now."""
        early, self._early = self._early, []
        for asked in early:
            self._end(asked, None)
            try:
                self._take(asked)
            except Exception as error:  # noqa: BLE001 - see 4 above
                self._refuse(asked.key[0], asked.request, *self._refusal(asked.request, error))

    # ---- reads --------------------------------------------------------------------------------

    def read_ready(self, token: int) -> int:
        """What was asked before this barrier may be answered; `frames` does, a slice a turn.

        Returns how many questions that are.
        """
        passed = self.read_barrier.passed(token)
        self._ready.extend(passed)
        return len(passed)

    def _read(self) -> None:
        """The next slices."""
        left = TURN_WORK
        while self._ready and left > 0:
            asked, slices = self._ready[0]
            try:
                left -= next(slices)
            except StopIteration as end:
                self._ready.popleft()
                left -= _work(asked.rule)
                self._end(asked, end.value)
            except Exception as error:  # noqa: BLE001 - see 4 above
                self._ready.popleft()
                left -= _work(asked.rule)
                self._fail(asked, *self._refusal(asked.request, error))

    # ---- out ----------------------------------------------------------------------------------

    @property
    def waiting(self) -> bool:
        """Whether answers, or the rest of large changes, wait for their turn."""
        return bool(self._ready or self._rests or self._scans)

    def frames(self) -> list[tuple[bytes, FromBroker]]:
        """What may leave, drained."""
        if self._ready:
            self._read()
        out, self._frames = self._frames, []
        return out


def _work(rule: Rule) -> int:
    """What it was to finish a read."""
    return rule.work if isinstance(rule, Read) else 1
