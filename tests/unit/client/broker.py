"""A broker in a thread of the test's: it leads, and says at once that all is well."""

import threading
from types import TracebackType
from typing import Self, cast

import zmq

from raftwork.features import from_broker, to_broker
from raftwork.features.drain import DrainWorker, WorkerDraining
from raftwork.features.enqueue import Enqueue, Enqueued
from raftwork.features.queue_settings import (
    AskQueue,
    QueueSet,
    SetQueue,
    SettingsTold,
    changes,
)
from raftwork.features.results import (
    Answer,
    Ask,
    Results,
    Watch,
    Watched,
)
from raftwork.messages import (
    ClientHello,
    FromBroker,
    Leader,
    Ping,
    Result,
    State,
    ToBroker,
)
from raftwork.wire import pack, unpack

VALUE = 7


class Broker:
    """Every task it is asked for has succeeded with VALUE."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self.address = f"127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"
        self._stop = False
        self.heard: list[ToBroker] = []
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop = True
        self._thread.join()
        self._socket.close()
        self._context.term()

    def _serve(self) -> None:
        while not self._stop:
            if self._socket.poll(20):
                routing, frame = self._socket.recv_multipart()
                self.heard.append(to_broker.decode(frame))
                for answer in self._answers(self.heard[-1]):
                    self._socket.send_multipart([routing, from_broker.encode(answer)])

    def _answers(self, message: ToBroker) -> list[FromBroker]:
        match message:
            case ClientHello() | Ping():
                return [Leader(1, "a", self.address, active=True, time=1_000)]
            case Enqueue():
                tasks = cast("list[list[str]]", unpack(message.tasks))
                outcomes = [self._done(task[0]) for task in tasks] if message.watch else []
                answer = Enqueued(message.request, watched=message.watch)
                return [answer, *([Results(outcomes)] if outcomes else [])]
            case Ask():
                return [Answer(message.request, [self._done(i) for i in message.ids])]
            case Watch():
                outcomes = [self._done(i) for i in message.ids]
                return [Watched(message.request), Results(outcomes)]
            case SetQueue():
                return [QueueSet(message.request)]
            case AskQueue():
                return [SettingsTold(message.request, changes(balancer=""))]
            case DrainWorker():
                return [WorkerDraining(message.request)]
            case _:
                return []

    @staticmethod
    def _done(id: str) -> Result:  # noqa: A002
        return Result(id, State.SUCCEEDED, pack(VALUE))
