"""Raftwork beside other queues on the same machine: see run.py."""
