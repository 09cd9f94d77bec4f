"""Raft and Zab compared: same machine, same run, by turns."""
