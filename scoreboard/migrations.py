"""Migrations: SQL files in order, each once, under one advisory lock.

`NNNN_name.pre.sql` runs before new code is rolled out and must suit the old code too; `NNNN_name.post.sql` runs after.
A file is one transaction, unless its first line is `-- no transaction`. A file that was applied may not change.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any, Final, Literal

import psycopg

from scoreboard.connections_postgres import postgres_errors
from scoreboard.errors import ScoreboardError, Unavailable
from scoreboard.queries import MIGRATIONS

Phase = Literal["pre", "post", "all"]

LOCK: Final = 0x53434F52
LOCK_WAIT_S: Final = 60.0
_NAME: Final = re.compile(r"(\d{4}_\w+)\.(pre|post)\.sql")
_NO_TRANSACTION: Final = "-- no transaction"
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY,
    phase text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationError(ScoreboardError):
    """The migrations do not fit the database."""

    code = "MIGRATION_FAILED"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    name: str
    phase: str
    text: str

    @property
    def sha256(self) -> str:
        """The digest by which a later change is noticed."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrate(database_url: str, phase: Phase = "all", folder: Traversable = MIGRATIONS) -> list[str]:
    """Apply what is missing of a phase, in order, and return the names of what was applied.

    Raises:
        MigrationError: A file was changed after it was applied, two have one name, or one failed.
        Unavailable: PostgreSQL cannot be used, or another migration holds the lock for a minute.
    """
    migrations = _read(folder)
    with postgres_errors(), psycopg.connect(database_url, autocommit=True, connect_timeout=5) as connection:
        connection.execute("SET lock_timeout = '5s'")
        with locked(connection):
            connection.execute(_TABLE)
            return [
                migration.name for migration in _missing(connection, migrations, phase) if _run(connection, migration)
            ]


def _read(folder: Traversable) -> list[Migration]:
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    found = [Migration(match[1], match[2], file.read_text()) for file in files if (match := _NAME.fullmatch(file.name))]
    if len({migration.name[:4] for migration in found}) != len(found):
        raise MigrationError("Two migrations have one number.")
    return found


@contextmanager
def locked(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Hold the advisory lock of who changes the schema; it goes with the connection, whatever happens to us.

    It is asked for again and again rather than waited for: a waiting statement holds a snapshot, and a concurrent index
    build of the other migration would wait for that snapshot while we wait for it.
    """
    deadline = time.monotonic() + LOCK_WAIT_S
    while not _value(connection, "SELECT pg_try_advisory_lock(%s)", LOCK):
        if time.monotonic() > deadline:
            raise Unavailable("Another migration has been running for a minute.")
        time.sleep(0.2)
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


def _missing(connection: psycopg.Connection[Any], migrations: list[Migration], phase: Phase) -> list[Migration]:
    applied = dict(connection.execute("SELECT name, sha256 FROM schema_migrations").fetchall())
    for migration in migrations:
        if applied.get(migration.name, migration.sha256) != migration.sha256:
            raise MigrationError(f"{migration.name} was changed after it was applied.")
    return [
        migration for migration in migrations if migration.name not in applied and phase in ("all", migration.phase)
    ]


def _run(connection: psycopg.Connection[Any], migration: Migration) -> bool:
    record = "INSERT INTO schema_migrations (name, phase, sha256) VALUES (%s, %s, %s)"
    values = (migration.name, migration.phase, migration.sha256)
    try:
        if migration.text.startswith(_NO_TRANSACTION):
            for statement in filter(str.strip, migration.text.split(";\n")):
                connection.execute(statement.encode())
            connection.execute(record, values)
        else:
            with connection.transaction():
                connection.execute(migration.text.encode())
                connection.execute(record, values)
    except psycopg.Error as error:
        raise MigrationError(f"{migration.name} failed and was not recorded: {error}") from error
    return True


def _value(connection: psycopg.Connection[Any], query: str, *parameters: Any) -> Any:
    row = connection.execute(query.encode(), parameters).fetchone()
    return row and row[0]
