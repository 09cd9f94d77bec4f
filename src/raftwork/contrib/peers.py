"""The libraries that modules of this package are for."""

from __future__ import annotations

import importlib
from types import ModuleType


def peer(name: str, extra: str) -> ModuleType:
    """The library. Raises ImportError, which names the extra, where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"raftwork.contrib.{extra} needs {name} ({error}): pip install 'raftwork[{extra}]'"
        ) from error
