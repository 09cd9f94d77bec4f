"""Breaks of what keys promise: see catalogue.py."""

from tests.sim.mutants.surgery import Edit
from tests.teeth.shape import Break

_NET = "raftwork.broker.net"

KEYS = (
    Break(
        "brokers dial each other without a key",
        (
            Edit(
                f"{_NET}.credentials:Credentials.dial",
                "dial_with(dealer, self._admission.key, public)",
                "pass",
            ),
        ),
        ("test_a_keyed_cluster_loses_its_leader_and_nothing_else",),
    ),
    Break(
        "a broker with a key listens without",
        (
            Edit(
                f"{_NET}.credentials:Credentials.listen",
                "listen_with(router, self._admission.key)",
                "pass",
            ),
        ),
        ("test_strangers_and_unknown_keys_end_no_broker_and_hold_up_nobody",),
    ),
    Break(
        "a revoked key's connections stay",
        (
            Edit(
                f"{_NET}.credentials:Credentials.cut",
                "if self._users.get(routing) in keys:",
                "if False:",
            ),
        ),
        ("test_who_may_not_is_told_at_once_and_who_is_revoked_is_cut",),
    ),
    Break(
        "a process reads its key file once and never again",
        (
            Edit(
                "raftwork.net.links:Links._renewed",
                "self._key = renewed(self._key)",
                "pass",
            ),
        ),
        ("test_who_may_not_is_told_at_once_and_who_is_revoked_is_cut",),
    ),
)
