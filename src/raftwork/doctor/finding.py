"""What a doctor finds."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Severity(StrEnum):
    """How soon something must be done about it."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Finding(NamedTuple):
    """One thing that was looked at. `id` never changes: monitoring may go by it."""

    id: str
    severity: Severity
    text: str
    #: What to do; empty where nothing is to be done.
    remedy: str = ""


def well(id_: str, text: str) -> Finding:
    """Nothing is to be done."""
    return Finding(id_, Severity.OK, text)


def warning(id_: str, text: str, remedy: str) -> Finding:
    """It works, and should be changed."""
    return Finding(id_, Severity.WARNING, text, remedy)


def error(id_: str, text: str, remedy: str) -> Finding:
    """It does not work, or will lose what it should keep."""
    return Finding(id_, Severity.ERROR, text, remedy)
