"""What is to be cancelled, as a caller says it and as brokers take it."""

from collections.abc import Iterable

from raftwork.client.options import Duration, label, milliseconds, queue_name, task_id
from raftwork.features.cancel import GRACE_MAX_MS, IDS_MAX, CancelTasks, Scope
from raftwork.features.task_batch import TAG_LENGTH_MAX
from raftwork.messages import NAME_MAX

#: Seconds that code has to end by itself.
GRACE_S = 10.0
_SCOPES = "ids, name, queue, tag, flow, all=True"


def cancel_run(id_: str, grace: Duration) -> CancelTasks:
    """Of one task. Raises TypeError, ValueError."""
    return CancelTasks(0, Scope.IDS, [id_], "", "", _grace(grace))


def cancel_all_of(
    ids: Iterable[str] | None,
    name: str | None,
    queue: str | None,
    tag: tuple[str, str] | None,
    everything: bool,
    grace: Duration,
    flow: str | None = None,
) -> CancelTasks:
    """Of exactly one of these scopes; None, and False, are those not given.

    Raises TypeError, ValueError.
    """
    given = [each for each in (ids, name, queue, tag, flow, everything or None) if each is not None]
    if len(given) != 1:
        raise TypeError(f"cancel takes exactly one of {_SCOPES}, got {len(given)}")
    if everything is not True and everything is not False:
        raise TypeError(f"all must be True or False, got {type(everything).__name__}")
    asked = CancelTasks(0, Scope.ALL, [], "", "", _grace(grace))
    if ids is not None:
        return asked._replace(scope=Scope.IDS, ids=_ids(ids))
    if flow is not None:
        return asked._replace(scope=Scope.FLOW, name=task_id(flow))
    if name is not None:
        return asked._replace(scope=Scope.NAME, name=label("name", name, NAME_MAX))
    if queue is not None:
        return asked._replace(scope=Scope.QUEUE, name=queue_name(queue))
    if tag is not None:
        key, value = _tag(tag)
        return asked._replace(scope=Scope.TAG, name=key, value=value)
    return asked


def _ids(ids: Iterable[str]) -> list[str]:
    if isinstance(ids, str):
        raise TypeError("ids must be several ids, got a str: put it into a list")
    checked = [task_id(each) for each in ids]
    if not checked:
        raise ValueError("ids must be at least one")
    if len(checked) > IDS_MAX:
        raise ValueError(
            f"a cancel may name {IDS_MAX} ids, got {len(checked)}: cancel them by parts"
        )
    return checked


def _tag(tag: object) -> tuple[str, str]:
    if not isinstance(tag, tuple | list) or len(tag) != 2:
        raise TypeError(f"tag must be a pair of its key and its value, got {tag!r:.80}")
    key, value = tag
    longest = TAG_LENGTH_MAX
    return label("a tag's key", key, longest), label("a tag's value", value, longest)


def _grace(grace: Duration) -> int:
    asked = milliseconds("grace", grace)
    if asked > GRACE_MAX_MS:
        raise ValueError(f"grace must be at most {GRACE_MAX_MS // 1000} s, got {asked / 1000:g}")
    return asked
