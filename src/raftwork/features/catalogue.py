"""All capabilities, with their rules: what brokers and the command line load."""

from typing import Final

from raftwork.features import CAPABILITIES
from raftwork.features.feature import Feature

FEATURES: Final[tuple[Feature, ...]] = tuple(each.feature() for each in CAPABILITIES)

#: Requests that workers make besides, in their sessions.
WORKER_REQUESTS: Final = frozenset(kind for each in FEATURES for kind in each.worker_requests)
