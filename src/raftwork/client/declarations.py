"""Schedules that code declares beside its tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from raftwork.client.schedule_options import ScheduleFields, check_fields, pack_fields, schedule_id
from raftwork.client.task import BoundTask
from raftwork.features.schedule_records import DECLARED_MAX, Declared, DeclareSchedules

B = TypeVar("B", bound="BoundTask[..., Any]")


class Declaration(NamedTuple):
    """A schedule that code declares, of the task of this name; packed."""

    id: str
    task: str
    fields: bytes


class Declarations(Sequence[Declaration]):
    """Those of one App."""

    def __init__(self) -> None:
        self._by_id: dict[str, tuple[BoundTask[..., Any], ScheduleFields]] = {}

    def declare(self, id_: str, fields: ScheduleFields) -> Callable[[B], B]:
        """What `App.schedule` returns."""
        checked = schedule_id(id_)

        def declare(task: B) -> B:
            if not isinstance(task, BoundTask):
                raise TypeError(
                    f"a schedule is of a task: put app.schedule({checked!r}, …) above @app.task"
                )
            known = self._by_id.get(checked)
            # The same declaration run again (a reloaded module) replaces itself.
            if known is not None and known[0].name != task.name:
                raise ValueError(f"the schedule {checked!r} is of the task {known[0].name} already")
            check_fields(task, fields)
            self._by_id[checked] = task, fields
            return task

        return declare

    def __len__(self) -> int:
        return len(self._by_id)

    def __getitem__(self, at: Any) -> Any:
        found = list(self._by_id)[at]
        return (
            [self._packed(id_) for id_ in found] if isinstance(at, slice) else self._packed(found)
        )

    def _packed(self, id_: str) -> Declaration:
        task, fields = self._by_id[id_]
        return Declaration(id_, task.name, pack_fields(task, fields))


def declaring(
    declarations: Sequence[Declaration], source: str, *, apply: bool
) -> Iterator[DeclareSchedules]:
    """The requests that declare all of these."""
    for first in range(0, len(declarations), DECLARED_MAX):
        part = declarations[first : first + DECLARED_MAX]
        declared = [Declared(each.id, each.fields) for each in part]
        yield DeclareSchedules(0, source, declared, apply)
