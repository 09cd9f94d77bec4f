#!/bin/sh
# usage: partition.sh [leader|follower|random] DIR… [--every S] [--for S] [--lasting S]
#
# Cuts a broker (default: the leader) off from the others for --lasting seconds, at random so that
# it hears nothing, so that nobody hears it, or both. Needs the rights of a debugger: root, or the
# brokers' user where ptrace is not restricted.
# DIR holds the data directories of a cluster's brokers that run on this machine. PYTHON names
# the Python that has raftwork (default: python3).
set -eu
export STRIKE_USAGE="$0"
case "${1-}" in
    leader | follower | random) role=$1; shift ;;
    *) role=leader ;;
esac
exec "${PYTHON:-python3}" -m raftwork.chaos.manual_faults partition "$role" "$@"
