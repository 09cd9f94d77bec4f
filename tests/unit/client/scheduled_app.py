"""An App over a leadership in this process, whose clock the test moves."""

from typing import Any, TypeVar

from raftwork import App
from raftwork.client.reply import Reply
from raftwork.errors import RaftworkError
from tests.unit.broker.scheduling import Scheduling

R = TypeVar("R")


class ScheduledApp(App):
    """Each call is answered at once."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1")
        self.world = Scheduling()

    def call(self, request: Any, reply: type[R], **_: Any) -> Reply[R]:
        told = Reply[R]()
        try:
            answer = self.world.ask(request)
        except RaftworkError as error:
            told.fail(error)
        else:
            assert isinstance(answer, reply)
            told.tell(answer)
        return told
