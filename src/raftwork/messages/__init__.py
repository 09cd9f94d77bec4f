"""Every frame between clients, workers and brokers, and the limits they keep.

A frame is one ZeroMQ message part. A DEALER opens a session with a hello; a broker that has no
session for a routing id answers `HelloFirst`, so a restart on either side mends itself. Nothing is
relied on once: ZeroMQ may drop any frame, so requests go again with the same ids until answered.

Times are integer milliseconds. "Leader time" is the machine time of the active leader, which only
grows over the whole cluster. Tags never change their meaning.
"""

from raftwork.messages.client import (
    Answer,
    Ask,
    AskQueue,
    BrokerStatus,
    ClientHello,
    DrainWorker,
    Enqueue,
    Enqueued,
    QueueSet,
    QueueSettings,
    QueueStatus,
    Results,
    SetQueue,
    StatusRequest,
    Task,
    Terms,
    Watch,
    Watched,
    WorkerDraining,
    WorkerStatus,
    task_check,
)
from raftwork.messages.dead import (
    DEAD_IDS_MAX,
    DEAD_PAGE_MAX,
    DeadDetails,
    DeadPage,
    DeadPurged,
    DeadRetried,
    DeadTask,
    ListDead,
    PurgeDead,
    RetryDead,
    ShowDead,
)
from raftwork.messages.failures import (
    Failure,
    OutcomeMalformed,
    OutcomeTooLarge,
    TimeLimitPassed,
    WorkerLost,
    decode_failure,
    decode_failure_strictly,
    encode_failure,
    failure_head,
    render,
)
from raftwork.messages.peer import (
    PeerHello,
    PeerMessage,
    PeerWelcome,
)
from raftwork.messages.shared import (
    BATCH_BYTES_MAX,
    BATCH_TASKS_MAX,
    FRAME_BYTES_MAX,
    ID_MAX,
    NAME_MAX,
    PAYLOAD_MAX,
    PROTOCOL,
    PROTOCOL_OLDEST,
    QUEUES_MAX,
    WATCH_IDS_MAX,
    Code,
    HelloFirst,
    Leader,
    Loss,
    Ping,
    Refused,
    Result,
    Spec,
    State,
    decode_spec,
    decode_spec_strictly,
    encode_spec,
)
from raftwork.messages.upgrade import FinishUpgrade, UpgradeFinished
from raftwork.messages.worker import (
    Acknowledged,
    Beat,
    Drain,
    Goodbye,
    Heartbeat,
    Held,
    Holding,
    Outcome,
    Push,
    PushedTask,
    Report,
    Started,
    Stop,
    WorkerHello,
    WorkerWelcome,
)
from raftwork.wire import Codec

__all__ = [
    "to_broker",
    "from_broker",
    "State",
    "Code",
    "Spec",
    "Failure",
    "TimeLimitPassed",
    "WorkerLost",
    "OutcomeTooLarge",
    "OutcomeMalformed",
    "Loss",
    "Result",
    "HelloFirst",
    "Refused",
    "Leader",
    "Ping",
    "PROTOCOL",
    "PROTOCOL_OLDEST",
    "PAYLOAD_MAX",
    "BATCH_TASKS_MAX",
    "BATCH_BYTES_MAX",
    "ID_MAX",
    "NAME_MAX",
    "QUEUES_MAX",
    "FRAME_BYTES_MAX",
    "WATCH_IDS_MAX",
    "encode_spec",
    "decode_spec",
    "decode_spec_strictly",
    "encode_failure",
    "decode_failure",
    "decode_failure_strictly",
    "failure_head",
    "render",
    "ClientHello",
    "Task",
    "Enqueue",
    "Enqueued",
    "Watch",
    "Watched",
    "Results",
    "Ask",
    "Answer",
    "StatusRequest",
    "Terms",
    "WorkerStatus",
    "QueueStatus",
    "BrokerStatus",
    "DrainWorker",
    "WorkerDraining",
    "DEAD_IDS_MAX",
    "DEAD_PAGE_MAX",
    "DeadTask",
    "ListDead",
    "DeadPage",
    "ShowDead",
    "DeadDetails",
    "RetryDead",
    "DeadRetried",
    "PurgeDead",
    "DeadPurged",
    "SetQueue",
    "QueueSet",
    "AskQueue",
    "QueueSettings",
    "FinishUpgrade",
    "UpgradeFinished",
    "task_check",
    "Held",
    "Holding",
    "WorkerHello",
    "WorkerWelcome",
    "PushedTask",
    "Push",
    "Stop",
    "Acknowledged",
    "Beat",
    "Drain",
    "Outcome",
    "Started",
    "Report",
    "Heartbeat",
    "Goodbye",
    "PeerHello",
    "PeerWelcome",
    "PeerMessage",
]

ToBroker = (
    Ping
    | ClientHello
    | Enqueue
    | Watch
    | Ask
    | StatusRequest
    | DrainWorker
    | ListDead
    | ShowDead
    | RetryDead
    | PurgeDead
    | SetQueue
    | AskQueue
    | FinishUpgrade
    | WorkerHello
    | Report
    | Heartbeat
    | Goodbye
    | PeerHello
)
FromBroker = (
    HelloFirst
    | Refused
    | Leader
    | Enqueued
    | Watched
    | Results
    | Answer
    | BrokerStatus
    | WorkerDraining
    | DeadPage
    | DeadDetails
    | DeadRetried
    | DeadPurged
    | QueueSet
    | QueueSettings
    | UpgradeFinished
    | WorkerWelcome
    | Push
    | Stop
    | Acknowledged
    | Beat
    | Drain
    | PeerWelcome
    | PeerMessage
)

to_broker: Codec[ToBroker] = Codec(
    {
        1: Ping,
        2: ClientHello,
        3: Enqueue,
        4: Watch,
        5: Ask,
        6: StatusRequest,
        10: WorkerHello,
        11: Report,
        12: Heartbeat,
        13: Goodbye,
        20: PeerHello,
        40: DrainWorker,
        60: ListDead,
        61: ShowDead,
        62: RetryDead,
        63: PurgeDead,
        50: SetQueue,
        51: AskQueue,
        70: FinishUpgrade,
    }
)
from_broker: Codec[FromBroker] = Codec(
    {
        1: HelloFirst,
        2: Refused,
        3: Leader,
        4: Enqueued,
        5: Watched,
        6: Results,
        7: Answer,
        8: BrokerStatus,
        10: WorkerWelcome,
        11: Push,
        12: Stop,
        13: Acknowledged,
        14: Beat,
        15: Drain,
        20: PeerWelcome,
        21: PeerMessage,
        40: WorkerDraining,
        60: DeadPage,
        61: DeadDetails,
        62: DeadRetried,
        63: DeadPurged,
        50: QueueSet,
        51: QueueSettings,
        70: UpgradeFinished,
    }
)
