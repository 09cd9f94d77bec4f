"""What programs use: the App, its tasks, and handles for what they enqueued."""

from raftwork.client.app import App
from raftwork.client.canvas import chain, chord, group, mapreduce, replace
from raftwork.client.flow import Flow
from raftwork.client.run import Run
from raftwork.client.run_info import Progress, RunInfo
from raftwork.client.schedules import Schedule
from raftwork.client.status import Status
from raftwork.client.task import BoundTask, Task

__all__ = [
    "App",
    "BoundTask",
    "Flow",
    "Progress",
    "Run",
    "RunInfo",
    "Schedule",
    "Status",
    "Task",
    "chain",
    "chord",
    "group",
    "mapreduce",
    "replace",
]
