"""What programs use: the App, its tasks, and handles for what they enqueued."""

from raftwork.client.app import App
from raftwork.client.run import Progress, Run, Status
from raftwork.client.task import BoundTask, Task

__all__ = ["App", "BoundTask", "Progress", "Run", "Status", "Task"]
