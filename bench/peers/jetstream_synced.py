"""NATS JetStream as in jetstream.py, but every message is synced before it is acknowledged."""

from functools import partial

from bench.peers import jetstream

start = partial(jetstream.start, sync_interval="always")
