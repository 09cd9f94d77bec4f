#!/bin/sh
# usage: pause_leader.sh DIR… [--every S] [--for S] [--lasting S]
#
# SIGSTOP to the leader, SIGCONT after --lasting seconds.
# DIR holds the data directories of a cluster's brokers that run on this machine. PYTHON names
# the Python that has raftwork (default: python3).
set -eu
export STRIKE_USAGE="$0"
exec "${PYTHON:-python3}" -m raftwork.chaos.manual_faults pause leader "$@"
