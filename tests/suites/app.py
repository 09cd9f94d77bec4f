"""What the workers of the suites run: an App without tasks, for executors."""

from importlib.util import find_spec

from raftwork import App

if find_spec("joblib") is not None:
    import raftwork.contrib.joblib  # noqa: F401 - what runs in parallel may name the backend

app = App()
