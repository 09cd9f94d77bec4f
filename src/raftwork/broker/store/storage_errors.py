"""What errors of SQLite and the file system mean to a replica."""

from collections.abc import Callable
from types import TracebackType
from typing import Final

import apsw

from raftwork.errors import StoreDamaged, StoreError

_DISK_ERRORS: Final = (
    apsw.IOError,
    apsw.FullError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.PermissionsError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.ProtocolError,
)
_CONTRADICTIONS: Final = (apsw.SQLITE_IOERR_DATA, apsw.SQLITE_IOERR_CORRUPTFS)


def as_store_error(error: BaseException) -> StoreError | None:
    """The StoreError an error amounts to, of code that uses files of the replica."""
    if isinstance(error, PermissionError):
        return StoreError(f"this user may not use it: {error}")
    return _failed(error) if isinstance(error, OSError) else as_database_error(error)


def as_database_error(error: BaseException) -> StoreError | None:
    """The StoreError an error amounts to; None if it is not about the database.

    SQLite raises errors of its own. An OSError from code that does not open files itself is a
    socket's, a thread's or a name server's.
    """
    if isinstance(error, StoreError):
        return error
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError)) or (
        isinstance(error, apsw.IOError) and _extended(error) in _CONTRADICTIONS
    ):
        return StoreDamaged(f"the database contradicts its checksums or structure: {error}")
    return _failed(error) if isinstance(error, _DISK_ERRORS) else None


def _failed(error: BaseException) -> StoreError:
    return StoreError(f"the disk failed: {type(error).__name__}: {error}")


def _extended(error: apsw.Error) -> int:
    code: int = getattr(error, "extendedresult", 0)  # set by SQLite, absent from a VFS in Python
    return code


class Guard:
    """A context for all that touches the disk: its errors become StoreError or StoreDamaged.

    After the first one the store refuses further use: after a failed fsync it is unknown what the
    disk holds, and trying again can succeed without having written anything.
    """

    def __init__(self, on_damage: Callable[[StoreDamaged], None]) -> None:
        #: The first error there was.
        self.failure: StoreError | None = None
        self._on_damage = on_damage

    def __enter__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raise if there was an error."""
        if self.failure is not None:
            raise type(self.failure)(f"the store is out of use: {self.failure}") from self.failure

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self.stop(error)

    def stop(self, error: BaseException) -> None:
        """Refuse further use and raise what the error means to the replica, if it does."""
        self.stop_by(error, as_store_error(error))

    def stop_by(self, error: BaseException, meaning: StoreError | None) -> None:
        """Refuse further use and raise `meaning`, if there is one."""
        if meaning is None:
            return
        self.fail(meaning)
        if meaning is not error:
            raise meaning from error

    def fail(self, failure: StoreError) -> None:
        """Refuse further use, for this reason unless there was an earlier one."""
        if self.failure is None:
            self.failure = failure
            if isinstance(failure, StoreDamaged):
                self._on_damage(failure)


class TablesGuard:
    """A Guard around code that reads or writes through the connection itself, among other things.

    What the store opens is guarded where it does so; an OSError of the rest is none of the disk's.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def __enter__(self) -> None:
        self._guard.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._guard.stop_by(error, as_database_error(error))
