"""A queue of an App that only records what it is asked."""

from typing import cast

from raftwork.client.caller import Caller
from raftwork.client.queues import Queue
from raftwork.client.reply import Reply
from raftwork.features.free_key import FreeKey, KeyFreed
from raftwork.features.queue_settings import AskQueue, QueueSet, SettingsTold, changes


class FakeApp:
    """Answers every request, and records it."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def call(self, request: object, reply: type[object]) -> Reply[object]:
        self.asked.append(request)
        answer: Reply[object] = Reply()
        if isinstance(request, AskQueue):
            answer.tell(SettingsTold(0, changes(balancer="lru", max_bytes=7)))
        elif isinstance(request, FreeKey):
            answer.tell(KeyFreed(0, 1))
        else:
            answer.tell(QueueSet(0))
        return answer


def queue() -> tuple[Queue, FakeApp]:
    app = FakeApp()
    return Queue(cast("Caller", app), "q"), app
