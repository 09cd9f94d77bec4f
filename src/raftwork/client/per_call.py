"""What is said of one call rather than of a task: its id, key, time, headers, on whose behalf."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from raftwork.client.options import Options, label, task_id, task_key
from raftwork.client.uniqueness import check_no_key_needed
from raftwork.errors import PayloadTooLarge
from raftwork.features.task_batch import AT_MAX_MS, NO_EXTRAS
from raftwork.messages import ID_MAX, Extras

#: Keys and values of a task's headers together, in UTF-8.
HEADERS_BYTES_MAX: Final = 8 * 1024


class PerCall(NamedTuple):
    """Checked; times in ms since 1970."""

    id: str | None = None
    key: str = ""
    at: int = 0
    tenant: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(
        cls,
        id: str | None,  # noqa: A002
        key: str | None,
        at: datetime | None,
        tenant: str | None,
        headers: Mapping[str, str] | None = None,
    ) -> "PerCall":
        """As a caller gives them; None is what was not given. Raises TypeError, ValueError."""
        return cls(
            None if id is None else task_id(id),
            "" if key is None else task_key(key),
            0 if at is None else instant("at", at),
            "" if tenant is None else label("tenant", tenant, ID_MAX),
            () if headers is None else checked_headers(headers),
        )

    @property
    def besides(self) -> Mapping[str, object] | None:
        """What goes behind the arguments (`pack_call`); None if nothing does."""
        return {"headers": dict(self.headers)} if self.headers else None

    def extras(self, options: Options) -> Extras:
        """What goes with each task of such a call. Raises ValueError for options without a key."""
        if options.ordered and not self.key:
            raise ValueError('an ordered task needs a key: task.options(key="…").enqueue(…)')
        if self.at and options.delay:
            # Whichever is the earlier would be lost without a word.
            raise ValueError(
                f"delay and at say two times, got {options.delay / 1000} s and {self.at / 1000:.3f}"
                " s since 1970: give one, such as task.options(delay=None, at=…)"
            )
        unique = options.unique if isinstance(options.unique, str) else ""
        if not options.unique:
            check_no_key_needed(options)
        if not self.at and not self.tenant and not unique and not options.tags:
            return NO_EXTRAS
        return Extras(unique=unique, at=self.at, tenant=self.tenant, tags=list(options.tags))


#: Nothing is said.
ORDINARY = PerCall()


def checked_headers(value: object) -> tuple[tuple[str, str], ...]:
    """A task's headers. Raises TypeError, ValueError, PayloadTooLarge."""
    if not isinstance(value, Mapping):
        raise TypeError(f"headers must be a mapping of str to str, got {type(value).__name__}")
    size = 0
    for key, text in value.items():
        if type(key) is not str or type(text) is not str:
            kinds = f"{type(key).__name__} to {type(text).__name__}"
            raise TypeError(f"headers must be a mapping of str to str, got {kinds}")
        try:
            size += len(key.encode()) + len(text.encode())
        except UnicodeEncodeError:
            raise ValueError(f"a header has a lone surrogate: {key!a:.80}") from None
    if size > HEADERS_BYTES_MAX:
        raise PayloadTooLarge(f"headers of {size} bytes, more than {HEADERS_BYTES_MAX}")
    return tuple(value.items())


def instant(what: str, value: object) -> int:
    """An aware datetime in ms since 1970, rounded up. Raises TypeError, ValueError."""
    if not isinstance(value, datetime):
        raise TypeError(f"{what} must be an aware datetime, got {type(value).__name__}")
    if value.utcoffset() is None:
        raise TypeError(
            f"{what} must be an aware datetime, got {value!r} without a time zone: say which,"
            " such as datetime(2027, 1, 1, tzinfo=UTC)"
        )
    at = max(1, math.ceil(value.timestamp() * 1000))
    if at > AT_MAX_MS:
        raise ValueError(f"{what} must be before the year 2286, got {value.isoformat()}")
    return at
