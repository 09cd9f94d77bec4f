"""Zab, sans-IO: `Zab` is the core, `Config` its timings and bounds."""

from raftwork.consensus.zab.config import Config
from raftwork.consensus.zab.core import Zab

__all__ = ["Config", "Zab"]
