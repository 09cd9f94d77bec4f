"""Raft, sans-IO: `Raft` is the core, `Config` its timings and bounds."""

from raftwork.consensus.raft.config import Config
from raftwork.consensus.raft.core import Raft

__all__ = ["Config", "Raft"]
