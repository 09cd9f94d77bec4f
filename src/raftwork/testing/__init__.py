"""For tests: the pytest fixtures `raftwork_app` and `raftwork_cluster`, and local clusters.

The fixtures are there for every pytest that runs where Raftwork is installed. What they are made of
is imported by the first test that asks for one.
"""

import sys

if "pytest" in sys.modules:  # `raftwork demo`, which has clusters of its own, needs none
    from raftwork.testing.fixtures import raftwork_app, raftwork_cluster

    __all__ = ["raftwork_app", "raftwork_cluster"]
