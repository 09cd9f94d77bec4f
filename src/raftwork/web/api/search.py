"""What people type to find tasks: `state:failed name:mail.* queue:bulk tag:customer=7 since:1h`.

Brokers look at their tasks newest first and have an index for tags and for what runs alone. So a
search has a budget, and says how many tasks it looked at and where it would go on.
"""

from __future__ import annotations

import re
import shlex
from typing import Final

from raftwork.client.run_info import Filter, SearchFields

#: How long the brokers look for one page, s: it is there within 300 ms, and asked for again while
#: somebody looks.
BUDGET_S: Final = 0.25
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_AGE: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd]?)")
TERMS: Final = ("state", "name", "queue", "tag", "since", "error", "worker")


def fields_of(text: str) -> SearchFields:
    """What was typed, for `App.runs`. Raises ValueError, which names the term, and TypeError."""
    said: dict[str, str] = {}
    for word in _words(text):
        term, colon, value = word.partition(":")
        if not colon:
            term, value = "name", f"*{word}*"
        if term not in TERMS:
            raise ValueError(f"there is no term {term!r:.80}: the terms are {', '.join(TERMS)}")
        if term in said:
            raise ValueError(f"{term}: is given twice")
        if value:
            said[term] = value
    fields: SearchFields = {
        "state": said.get("state"),
        "name": said.get("name"),
        "queue": said.get("queue"),
        "tag": _tag(said.get("tag")),
        "since": _age(said.get("since")),
        "worker": said.get("worker"),
        "error": said.get("error"),
        "budget": BUDGET_S,
    }
    Filter.of(fields)
    return fields


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        raise ValueError("a quote is not closed") from None


def _tag(value: str | None) -> tuple[str, str] | None:
    if value is None:
        return None
    key, equals, of = value.partition("=")
    if not equals:
        raise ValueError(f"tag: must be KEY=VALUE, got {value!r:.80}")
    return key, of


def _age(value: str | None) -> float | None:
    if value is None:
        return None
    found = _AGE.fullmatch(value)
    if found is None:
        raise ValueError(f"since: must be an age such as 90s, 15m, 1h or 7d, got {value!r:.80}")
    return float(found[1]) * _UNITS_S[found[2] or "s"]
