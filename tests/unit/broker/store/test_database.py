"""How the databases of a store are opened."""

from pathlib import Path

from raftwork.broker.store.database import Opener
from raftwork.broker.store.options import StoreOptions


def test_a_statement_is_not_parsed_again_for_another_limit(tmp_path: Path) -> None:
    connection = Opener(checksums=False, options=StoreOptions()).open(tmp_path / "db", create=True)
    connection.execute("CREATE TABLE page (place INTEGER PRIMARY KEY)")
    parsed: list[int] = []

    def note(operation: int, *_: object) -> int:
        """SQLite asks whether a statement is allowed whenever it parses it."""
        parsed.append(operation)
        return 0

    connection.authorizer = note
    for limit in range(4):
        first = len(parsed)
        connection.execute("SELECT place FROM page LIMIT ?", (limit,)).fetchall()
        if limit:
            assert len(parsed) == first, f"parsed again for the limit {limit}"
    assert parsed, "it was never parsed: this test sees nothing"
    connection.close()
