"""The options of a task or a call, checked, and as the Spec that brokers store."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypedDict

from raftwork.client.uniqueness import (
    MAX_WAIT_TIMES,
    Conflict,
    Until,
    check_uniqueness,
    on_conflict,
    unique_key,
    until,
)
from raftwork.durations import Duration as Duration
from raftwork.durations import milliseconds as milliseconds
from raftwork.durations import seconds as seconds
from raftwork.exception_names import exception_name
from raftwork.features.limit_settings import LIMITS_OF_TASK_MAX, name_objection
from raftwork.features.task_batch import TAG_LENGTH_MAX, TAGS_MAX
from raftwork.messages import (
    ID_MAX,
    NAME_MAX,
    PRIORITY_MAX,
    PRIORITY_USUAL,
    Backoff,
    OnConflict,
    Spec,
    encode_spec,
)

Delivery = Literal["at_least_once", "at_most_once"]
WhenFull = Literal["raise", "wait"]
BackoffKind = Literal["exponential", "linear", "constant"]
#: A kind of exceptions: its class, or its name where the class cannot be imported.
ExceptionKind = type[BaseException] | str
OnFailure = Literal["next", "halt"]

#: The most that brokers accept.
LOSSES_MAX = 100
EXCEPTIONS_MAX = 32


class OptionFields(TypedDict, total=False):
    """The options of `@app.task(...)` and `task.options(...)`; durations in seconds.

    docs/options.md is made of the texts below.
    """

    queue: str
    """The queue it waits in: 1 to 255 characters, no comma. Workers serve `default` unless
    `--queues` says otherwise."""
    timeout: Duration | None
    """How long an attempt may run, from the start of its code; then the code is stopped and the
    attempt has failed. None: no limit."""
    retries: int
    """How often it is tried again after its code raised or ran over `timeout`. Lost workers are
    counted apart (`max_losses`); arguments that do not fit are not tried again."""
    backoff: Duration
    """The pause before the first retry. It grows as `backoff_kind` says, and up to a quarter is
    added by chance, so that tasks that failed together part."""
    backoff_kind: BackoffKind
    """How the pause grows with each further failure: `exponential` (twice the last), `linear`
    (`backoff` longer than the last) or `constant`."""
    max_backoff: Duration
    """No pause before a retry is longer, but for one that its code asks for (`Retry(after=)`)."""
    retry_on: ExceptionKind | Sequence[ExceptionKind] | None
    """Exceptions after which it is tried again, with those derived from them; after any other it
    has failed for good. A class or a name such as `"requests.ConnectionError"`, or a sequence of
    them, at most 32. A passed `timeout` counts as `TimeoutError`. None: after all."""
    no_retry_on: ExceptionKind | Sequence[ExceptionKind] | None
    """Exceptions after which it has failed for good, with those derived from them, whatever
    `retry_on` says."""
    delivery: Delivery
    """`at_least_once`: handed out again when its worker is lost. `at_most_once`: never handed out
    twice, neither after a loss nor after a failure."""
    result_ttl: Duration
    """How long its value or error is kept once it has ended; brokers may cap it. What became of it
    (its status) is told for at least an hour longer."""
    max_losses: int
    """How many workers or processes it may take down, 1 to 100, before it ends as lost."""
    when_full: WhenFull
    """What an enqueue does where its queue or the cluster is full: `raise` QueueFull at once, or
    `wait` for room, up to the App's timeout."""
    delay: Duration | None
    """How long after the enqueue it may be handed out, not before. An enqueue that is tried again
    counts from its first attempt."""
    expires: Duration | None
    """How long after the enqueue it may begin at the latest. What has not begun by then is
    cancelled (`TaskCancelled`, reason `expired`); what has begun once is under `deadline` alone."""
    deadline: Duration | None
    """How long after the enqueue it must have ended, over all attempts. What has not has failed
    then, with the type `DeadlineExceeded`: its code is stopped, and it is not tried again."""
    priority: int
    """-100 to 100: tasks with a higher one are handed out sooner. Of 16 hand-outs of a queue (its
    setting `patience`) one goes to what has waited longest, so none waits for ever."""
    ordered: bool
    """Tasks of one queue with the same `key`, which it must have, run one after the other, in the
    order in which they became ready, also while the first waits for a retry."""
    limits: Sequence[str]
    """Names of limits (`App.limits`, `raftwork limit`) that it counts for, 8 at most: it is handed
    out when all of them let it in. One that there is not is refused by the brokers."""
    on_failure: OnFailure
    """What an ordered task that has failed for good, or is lost, means for those behind it: the
    `next` goes on, or they `halt` until `Queue.resume_key`."""
    unique: str | bool | None
    """Its unique key, 1 to 255 characters: of the tasks of one queue and name with the same key one
    at most is unfinished at a time. True: its arguments, as they are written, are the key."""
    until: Until
    """How long it has its unique key: until it is `finished`, or only until it is `started`, which
    is when it is handed to a worker for the first time."""
    period: Duration | None
    """How long its unique key stays taken at least, from the enqueue on, even if it ends before."""
    on_conflict: Conflict
    """What an enqueue does if the unique key is taken: `return` the task that has it, `raise`
    AlreadyEnqueued, `replace` its arguments if it has not begun, or `rerun`: once more after it. If
    it has begun, `replace` is `rerun`."""
    debounce: Duration | None
    """How long it waits for a further enqueue of its unique key, which replaces its arguments and
    begins the wait anew."""
    max_wait: Duration | None
    """How long `debounce` may put it off, from the first enqueue on. None: ten times `debounce`."""
    tags: Mapping[str, str] | None
    """What it is about, such as `{"customer": "7"}`: at most 8 keys, each of 1 to 128 characters,
    as is its value. `raftwork tasks --tag customer=7` lists its like."""


class Options(NamedTuple):
    """Checked options; durations in ms."""

    queue: str = "default"
    timeout: int = 0  # 0 is no limit
    retries: int = 0
    backoff: int = 1_000
    max_backoff: int = 60_000
    backoff_kind: BackoffKind = "exponential"
    retry_on: tuple[str, ...] = ()
    no_retry_on: tuple[str, ...] = ()
    delivery: Delivery = "at_least_once"
    result_ttl: int = 86_400_000
    max_losses: int = 3
    when_full: WhenFull = "raise"  # what to do if the queue is full; not sent to brokers
    delay: int = 0
    expires: int = 0
    deadline: int = 0
    priority: int = 0
    ordered: bool = False
    on_failure: OnFailure = "next"
    limits: tuple[str, ...] = ()
    unique: str | bool = ""  # not in the Spec: it goes with each task
    until: Until = "finished"
    period: int = 0
    on_conflict: Conflict = "return"
    debounce: int = 0
    max_wait: int = 0  # 0 is ten times debounce
    tags: tuple[tuple[str, str], ...] = ()  # sent with each task, not in the Spec

    def changed(self, given: OptionFields) -> "Options":
        """These options with the given ones replaced. Raises TypeError, ValueError."""
        if unknown := given.keys() - _NAMES:
            valid = ", ".join(sorted(_NAMES))
            raise TypeError(
                f"no such option: {', '.join(sorted(unknown))}; the options are {valid}"
            )
        changes = {name: _CHECKS[name](value) for name, value in given.items()}
        changed = self._replace(**changes)  # type: ignore[arg-type]
        check_uniqueness(changed)
        for what, limit in (("expires", changed.expires), ("deadline", changed.deadline)):
            if limit and limit <= changed.delay:
                raise ValueError(
                    f"{what} must be longer than delay, got {limit / 1000} and"
                    f" {changed.delay / 1000} s: it could never begin"
                )
        return changed

    def given(self) -> dict[str, object]:
        """What differs from the defaults, as it is written: durations in seconds."""
        found: dict[str, object] = {}
        for name, value in self._asdict().items():
            if value != self._field_defaults[name]:
                found[name] = value / 1000 if name in DURATIONS else value
        if self.tags:
            found["tags"] = dict(self.tags)
        return found

    def spec(self, name: str) -> bytes:
        """The packed Spec of a task of this name."""
        return _spec(name, self)


#: Options in ms.
DURATIONS = frozenset(
    {
        *("timeout", "backoff", "max_backoff", "result_ttl"),
        *("delay", "expires", "deadline", "period", "debounce", "max_wait"),
    }
)
_NAMES = frozenset(Options._fields)


@lru_cache(maxsize=1024)
def _spec(name: str, options: Options) -> bytes:
    return encode_spec(
        Spec(
            name=name,
            queue=options.queue,
            timeout=options.timeout,
            retries=options.retries,
            backoff=options.backoff,
            max_backoff=options.max_backoff,
            at_most_once=options.delivery == "at_most_once",
            result_ttl=options.result_ttl,
            max_losses=options.max_losses,
            delay=options.delay,
            expires=options.expires,
            deadline=options.deadline,
            backoff_kind=Backoff[options.backoff_kind.upper()],
            retry_on=options.retry_on,
            no_retry_on=options.no_retry_on,
            priority=PRIORITY_USUAL + options.priority,
            ordered=options.ordered,
            limits=options.limits,
            halts=options.ordered and options.on_failure == "halt",
            until_started=options.until == "started",
            on_conflict=OnConflict[options.on_conflict.upper()],
            period=options.period,
            debounce=options.debounce,
            max_wait=options.max_wait or MAX_WAIT_TIMES * options.debounce,
        )
    )


def label(what: str, value: object, longest: int) -> str:
    """A name or id: str, 1 to `longest` characters. Raises TypeError, ValueError."""
    if type(value) is not str:
        raise TypeError(f"{what} must be a str, got {type(value).__name__}")
    if not 1 <= len(value) <= longest:
        raise ValueError(f"{what} must have 1 to {longest} characters, got {len(value)}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{what} has a lone surrogate: {value!a}") from None
    return value


def queue_name(value: object) -> str:
    """A queue's name. Raises TypeError, ValueError."""
    name = label("queue", value, NAME_MAX)
    # Workers are told theirs as a list of names between commas: no other could ever be served.
    if "," in name or name != name.strip():
        raise ValueError(f"queue must not contain a comma or have spaces around it: {name!r}")
    return name


def task_id(value: object) -> str:
    """A task's id. Raises TypeError, ValueError."""
    return label("id", value, ID_MAX)


def tag(key: object, value: object) -> tuple[str, str]:
    """One of a task's tags. Raises TypeError, ValueError."""
    name = label("a tag's key", key, TAG_LENGTH_MAX)
    return name, label(f"the value of the tag {name!r:.40}", value, TAG_LENGTH_MAX)


def task_key(value: object) -> str:
    """A task's key, by which it is placed. Raises TypeError, ValueError."""
    return label("key", value, ID_MAX)


def _bound(what: str, value: Duration | None) -> int:
    if value is None:
        return 0
    limit = milliseconds(what, value, endless="None is no limit")
    if limit == 0:
        raise ValueError(f"{what} must be None or positive")
    return limit


def _count(what: str, value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"{what} must be an int, got {type(value).__name__}")
    if not 0 <= value < 2**31:
        raise ValueError(f"{what} must be between 0 and 2^31-1, got {value}")
    return value


def _losses(value: object) -> int:
    losses = _count("max_losses", value)
    if not 1 <= losses <= LOSSES_MAX:
        raise ValueError(f"max_losses must be between 1 and {LOSSES_MAX}, got {losses}")
    return losses


def _delivery(value: object) -> str:
    if value not in ("at_least_once", "at_most_once"):
        raise ValueError(f"delivery must be 'at_least_once' or 'at_most_once', got {value!r}")
    return str(value)


def _backoff_kind(value: object) -> str:
    kinds = [kind.name.lower() for kind in Backoff]
    if value not in kinds:
        raise ValueError(f"backoff_kind must be one of {', '.join(kinds)}, got {value!r}")
    return str(value)


def _kinds(what: str) -> Callable[[Any], tuple[str, ...]]:
    """Exceptions, or their names, or None; one alone is a sequence of one."""

    def check(value: object) -> tuple[str, ...]:
        if value is None:
            return ()
        given = [value] if isinstance(value, str | type) else value
        if not isinstance(given, Sequence | set | frozenset):
            raise TypeError(
                f"{what} must be an exception class, its name, or a sequence of these,"
                f" got {type(value).__name__}"
            )
        if not given:
            raise ValueError(f"{what} names no exception; retries=0 is for no retry at all")
        if len(given) > EXCEPTIONS_MAX:
            raise ValueError(f"{what} may name {EXCEPTIONS_MAX} exceptions, got {len(given)}")
        return tuple(sorted({label(what, exception_name(what, each), NAME_MAX) for each in given}))

    return check


def _when_full(value: object) -> str:
    if value not in ("raise", "wait"):
        raise ValueError(f"when_full must be 'raise' or 'wait', got {value!r}")
    return str(value)


def _priority(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"priority must be an int, got {type(value).__name__}")
    least, most = -PRIORITY_USUAL, PRIORITY_MAX - PRIORITY_USUAL
    if not least <= value <= most:
        raise ValueError(f"priority must be between {least} and {most}, got {value}")
    return value


def _ordered(value: object) -> bool:
    if type(value) is not bool:
        raise TypeError(f"ordered must be a bool, got {type(value).__name__}")
    return value


def _on_failure(value: object) -> str:
    if value not in ("next", "halt"):
        raise ValueError(f"on_failure must be 'next' or 'halt', got {value!r}")
    return str(value)


def _limits(value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(
            f'limits must be a sequence of names, such as ["stripe"], got {type(value).__name__}'
        )
    if len(value) > LIMITS_OF_TASK_MAX:
        raise ValueError(f"limits may be {LIMITS_OF_TASK_MAX} names, got {len(value)}")
    for each in value:
        if wrong := name_objection(label("limits", each, NAME_MAX)):
            raise ValueError(wrong)
    return tuple(sorted(set(value)))


def _duration(what: str) -> Callable[[Any], int]:
    return lambda value: milliseconds(what, value)


def _perhaps(what: str) -> Callable[[Any], int]:
    """A duration, or None, which is 0."""
    return lambda value: 0 if value is None else milliseconds(what, value)


def _tags(value: object) -> tuple[tuple[str, str], ...]:
    """In the order of their keys."""
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        like = "a mapping, such as {'customer': '7'}"
        raise TypeError(f"tags must be {like}, got {type(value).__name__}")
    if len(value) > TAGS_MAX:
        raise ValueError(f"a task may have {TAGS_MAX} tags, got {len(value)}")
    return tuple(sorted(tag(key, text) for key, text in value.items()))


#: What checks each option, and returns it as Options has it. Raises TypeError, ValueError.
_CHECKS: Mapping[str, Callable[[Any], object]] = {
    "queue": queue_name,
    "timeout": lambda value: _bound("timeout", value),
    "retries": lambda value: _count("retries", value),
    "backoff": _duration("backoff"),
    "max_backoff": _duration("max_backoff"),
    "backoff_kind": _backoff_kind,
    "retry_on": _kinds("retry_on"),
    "no_retry_on": _kinds("no_retry_on"),
    "delivery": _delivery,
    "result_ttl": _duration("result_ttl"),
    "max_losses": _losses,
    "when_full": _when_full,
    "delay": _perhaps("delay"),
    "expires": lambda value: _bound("expires", value),
    "deadline": lambda value: _bound("deadline", value),
    "priority": _priority,
    "ordered": _ordered,
    "on_failure": _on_failure,
    "limits": _limits,
    "unique": unique_key,
    "until": until,
    "period": _perhaps("period"),
    "on_conflict": on_conflict,
    "debounce": _perhaps("debounce"),
    "max_wait": _perhaps("max_wait"),
    "tags": _tags,
}
