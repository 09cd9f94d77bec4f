"""A method that is a request and no more: both twins make it, and tell what its answer says."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

from raftwork.client.methods import asking
from raftwork.client.reply import Reply
from raftwork.errors import UnknownTask


class Count(NamedTuple):
    """How many are there?"""

    request: int
    queue: str


class Counted(NamedTuple):
    request: int
    many: int


@dataclass
class FakeCaller:
    asked: list[object] = field(default_factory=list)
    error: Exception | None = None

    def call(self, request: object, reply: type[Counted], **_: object) -> Reply[Counted]:
        assert reply is Counted
        self.asked.append(request)
        answer: Reply[Counted] = Reply()
        if self.error is None:
            answer.tell(Counted(7, 3))
        else:
            answer.fail(self.error)
        return answer


class Shelf:
    def __init__(self, caller: Any) -> None:
        self.name, self.caller = "q", caller

    count, acount = asking(Count, Counted, lambda told: told.many)


def test_both_twins_make_the_request_and_return_what_the_answer_says() -> None:
    caller = FakeCaller()
    shelf = Shelf(caller)
    count: int = shelf.count()
    assert count == 3
    assert asyncio.run(shelf.acount()) == 3
    assert caller.asked == [Count(0, "q"), Count(0, "q")]
    assert shelf.count.__doc__ == shelf.acount.__doc__ == Count.__doc__


def test_what_refuses_the_request_is_raised() -> None:
    shelf = Shelf(FakeCaller(error=UnknownTask("none")))
    with pytest.raises(UnknownTask, match="none"):
        shelf.count()
    with pytest.raises(UnknownTask, match="none"):
        asyncio.run(shelf.acount())
