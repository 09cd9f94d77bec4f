"""What the workers of the suites run: an App without tasks, for executors."""

from raftwork import App

app = App()
