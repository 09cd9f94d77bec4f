"""Every frame between clients, workers and brokers, and the limits they keep.

A frame is one ZeroMQ message part. A DEALER opens a session with a hello; a broker that has no
session for a routing id answers `HelloFirst`, so a restart on either side mends itself. Nothing is
relied on once: ZeroMQ may drop any frame, so requests go again with the same ids until answered.

Times are integer milliseconds. "Leader time" is the machine time of the active leader, which only
grows over the whole cluster. Tags never change their meaning (registry.py).

What belongs to one capability alone is in its module under `raftwork/features`.
"""

from raftwork.messages.client import BrokerStatus as BrokerStatus
from raftwork.messages.client import ClientHello as ClientHello
from raftwork.messages.client import QueueStatus as QueueStatus
from raftwork.messages.client import StatusRequest as StatusRequest
from raftwork.messages.client import Terms as Terms
from raftwork.messages.client import WorkerStatus as WorkerStatus
from raftwork.messages.failures import Cancelled as Cancelled
from raftwork.messages.failures import CancelReason as CancelReason
from raftwork.messages.failures import DeadlinePassed as DeadlinePassed
from raftwork.messages.failures import Failure as Failure
from raftwork.messages.failures import LimitReached as LimitReached
from raftwork.messages.failures import OutcomeMalformed as OutcomeMalformed
from raftwork.messages.failures import OutcomeTooLarge as OutcomeTooLarge
from raftwork.messages.failures import ResumeAsked as ResumeAsked
from raftwork.messages.failures import RetryAsked as RetryAsked
from raftwork.messages.failures import TimeLimitPassed as TimeLimitPassed
from raftwork.messages.failures import WorkerLost as WorkerLost
from raftwork.messages.failures import WorkerLostSaying as WorkerLostSaying
from raftwork.messages.failures import decode_ending as decode_ending
from raftwork.messages.failures import decode_failure as decode_failure
from raftwork.messages.failures import decode_failure_strictly as decode_failure_strictly
from raftwork.messages.failures import encode_failure as encode_failure
from raftwork.messages.failures import failure_head as failure_head
from raftwork.messages.failures import lost_by as lost_by
from raftwork.messages.peer import DiskRoom as DiskRoom
from raftwork.messages.peer import PeerHello as PeerHello
from raftwork.messages.peer import PeerMessage as PeerMessage
from raftwork.messages.peer import PeerWelcome as PeerWelcome
from raftwork.messages.registry import FromBroker as FromBroker
from raftwork.messages.registry import ToBroker as ToBroker
from raftwork.messages.retry_policy import TIME_LIMIT_KINDS as TIME_LIMIT_KINDS
from raftwork.messages.retry_policy import is_retried as is_retried
from raftwork.messages.shared import BATCH_BYTES_MAX as BATCH_BYTES_MAX
from raftwork.messages.shared import BATCH_TASKS_MAX as BATCH_TASKS_MAX
from raftwork.messages.shared import FRAME_BYTES_MAX as FRAME_BYTES_MAX
from raftwork.messages.shared import ID_MAX as ID_MAX
from raftwork.messages.shared import NAME_MAX as NAME_MAX
from raftwork.messages.shared import PAYLOAD_MAX as PAYLOAD_MAX
from raftwork.messages.shared import PRIORITY_MAX as PRIORITY_MAX
from raftwork.messages.shared import PRIORITY_USUAL as PRIORITY_USUAL
from raftwork.messages.shared import PROTOCOL as PROTOCOL
from raftwork.messages.shared import PROTOCOL_OLDEST as PROTOCOL_OLDEST
from raftwork.messages.shared import QUEUES_MAX as QUEUES_MAX
from raftwork.messages.shared import WATCH_IDS_MAX as WATCH_IDS_MAX
from raftwork.messages.shared import Backoff as Backoff
from raftwork.messages.shared import Code as Code
from raftwork.messages.shared import Extras as Extras
from raftwork.messages.shared import HelloFirst as HelloFirst
from raftwork.messages.shared import Leader as Leader
from raftwork.messages.shared import Loss as Loss
from raftwork.messages.shared import OnConflict as OnConflict
from raftwork.messages.shared import Ping as Ping
from raftwork.messages.shared import Refused as Refused
from raftwork.messages.shared import Result as Result
from raftwork.messages.shared import Spec as Spec
from raftwork.messages.shared import State as State
from raftwork.messages.shared import decode_spec as decode_spec
from raftwork.messages.shared import decode_spec_strictly as decode_spec_strictly
from raftwork.messages.shared import encode_spec as encode_spec
from raftwork.messages.worker import HEARTBEAT_MS as HEARTBEAT_MS
from raftwork.messages.worker import LAST_SESSION as LAST_SESSION
from raftwork.messages.worker import TOKENS_MAX as TOKENS_MAX
from raftwork.messages.worker import WAITS_MAX as WAITS_MAX
from raftwork.messages.worker import About as About
from raftwork.messages.worker import Acknowledged as Acknowledged
from raftwork.messages.worker import Beat as Beat
from raftwork.messages.worker import Deadlock as Deadlock
from raftwork.messages.worker import Drain as Drain
from raftwork.messages.worker import EndWaits as EndWaits
from raftwork.messages.worker import Goodbye as Goodbye
from raftwork.messages.worker import Heartbeat as Heartbeat
from raftwork.messages.worker import Held as Held
from raftwork.messages.worker import Holding as Holding
from raftwork.messages.worker import Hopeless as Hopeless
from raftwork.messages.worker import Outcome as Outcome
from raftwork.messages.worker import Push as Push
from raftwork.messages.worker import PushedTask as PushedTask
from raftwork.messages.worker import Report as Report
from raftwork.messages.worker import Started as Started
from raftwork.messages.worker import Stop as Stop
from raftwork.messages.worker import Wait as Wait
from raftwork.messages.worker import WorkerHello as WorkerHello
from raftwork.messages.worker import WorkerWelcome as WorkerWelcome
