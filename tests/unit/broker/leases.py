"""The leases of workers where nothing was set, ms."""

from raftwork.features.cluster_settings import DEFAULTS

LEASE_MS, LEASE_CLOSED_MS = DEFAULTS.worker_lease, DEFAULTS.worker_reconnect
