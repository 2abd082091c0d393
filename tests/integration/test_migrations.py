"""Migrations: each once, in order, whoever else migrates at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from scoreboard.errors import Unavailable
from scoreboard.migrations import MigrationError, migrate
from scoreboard.queries import MIGRATIONS
from tests.support import parts


@pytest.fixture
def url(postgres: parts.PostgresServer) -> Iterator[str]:
    """A database without anything in it."""
    made = postgres.empty_database()
    yield made
    postgres.drop(made)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three migrations."""
    _write(tmp_path, "0001_first.pre.sql", "CREATE TABLE first (n integer); INSERT INTO first VALUES (1);")
    _write(tmp_path, "0002_second.post.sql", "ALTER TABLE first ADD COLUMN second integer;")
    _write(tmp_path, "0003_third.pre.sql", "INSERT INTO first (n) VALUES (3);")
    return tmp_path


def _write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)


def _rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def _recorded(url: str) -> list[str]:
    return [name for (name,) in _rows(url, "SELECT name FROM schema_migrations ORDER BY name")]


def test_all_are_applied_in_order_and_a_second_time_none(url: str, folder: Path) -> None:
    assert migrate(url, "all", folder) == ["0001_first", "0002_second", "0003_third"]
    assert migrate(url, "all", folder) == []
    assert _rows(url, "SELECT n FROM first ORDER BY n") == [(1,), (3,)]
    assert _rows(url, "SELECT name, phase FROM schema_migrations ORDER BY name") == [
        ("0001_first", "pre"),
        ("0002_second", "post"),
        ("0003_third", "pre"),
    ]


def test_the_phases_apply_their_own(url: str, folder: Path) -> None:
    assert migrate(url, "pre", folder) == ["0001_first", "0003_third"]
    assert migrate(url, "pre", folder) == []
    assert migrate(url, "post", folder) == ["0002_second"]
    assert migrate(url, "all", folder) == []


def test_a_file_added_later_is_applied(url: str, folder: Path) -> None:
    migrate(url, "all", folder)
    _write(folder, "0004_fourth.pre.sql", "INSERT INTO first (n) VALUES (4);")
    _write(folder, "notes.txt", "not a migration")
    assert migrate(url, "all", folder) == ["0004_fourth"]


def test_a_file_changed_after_it_was_applied_is_refused_and_nothing_else_is_applied(url: str, folder: Path) -> None:
    migrate(url, "pre", folder)
    _write(folder, "0001_first.pre.sql", "CREATE TABLE first (n bigint);")
    _write(folder, "0004_fourth.pre.sql", "INSERT INTO first (n) VALUES (4);")
    with pytest.raises(MigrationError, match="0001_first was changed after it was applied"):
        migrate(url, "all", folder)
    assert _recorded(url) == ["0001_first", "0003_third"]


def test_two_files_of_one_number_are_refused(url: str, folder: Path) -> None:
    _write(folder, "0001_other.post.sql", "SELECT 1;")
    with pytest.raises(MigrationError, match="one number"):
        migrate(url, "all", folder)


def test_a_file_that_fails_leaves_nothing_and_those_before_it_stay(url: str, folder: Path) -> None:
    _write(folder, "0002_second.post.sql", "CREATE TABLE half (n integer); INSERT INTO half VALUES (1 / 0);")
    with pytest.raises(MigrationError, match="0002_second failed and was not recorded"):
        migrate(url, "all", folder)
    assert _recorded(url) == ["0001_first"]
    assert _rows(url, "SELECT to_regclass('half')") == [(None,)]
    _write(folder, "0002_second.post.sql", "CREATE TABLE half (n integer);")
    assert migrate(url, "all", folder) == ["0002_second", "0003_third"]


def test_eight_at_once_apply_each_once(url: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        applied = [name for names in threads.map(lambda _: migrate(url), range(8)) for name in names]
    files = sorted(file.name.split(".")[0] for file in MIGRATIONS.iterdir() if file.name.endswith(".sql"))
    assert sorted(applied) == files == _recorded(url)


def test_an_index_is_built_concurrently_while_another_migration_waits(url: str, folder: Path) -> None:
    """One who waits for the lock holds no snapshot; the build would wait for it, and it for the build, for ever."""
    migrate(url, "all", folder)
    _write(
        folder,
        "0004_index.pre.sql",
        "-- no transaction\n"
        "SET lock_timeout = '30s';\n"
        "SELECT pg_sleep(1);\n"
        "CREATE INDEX CONCURRENTLY first_n ON first (n);\n"
        "CREATE INDEX CONCURRENTLY first_second ON first (second);\n",
    )
    barrier = threading.Barrier(3)

    def run(_: int) -> list[str]:
        barrier.wait()
        return migrate(url, "all", folder)

    with ThreadPoolExecutor(3) as threads:
        assert sorted(threads.map(run, range(3))) == [[], [], ["0004_index"]]
    assert _rows(url, "SELECT count(*) FROM pg_index WHERE indrelid = 'first'::regclass AND indisvalid") == [(2,)]


def test_a_file_without_a_transaction_that_fails_is_not_recorded(url: str, folder: Path) -> None:
    _write(folder, "0004_index.pre.sql", "-- no transaction\nSELECT 1;\nSELECT 1 / 0;\n")
    with pytest.raises(MigrationError, match="0004_index"):
        migrate(url, "all", folder)
    assert "0004_index" not in _recorded(url)


def test_the_lock_is_free_after_a_failure(url: str, folder: Path) -> None:
    _write(folder, "0004_bad.pre.sql", "SELECT 1 / 0;")
    for _ in range(2):
        with pytest.raises(MigrationError):
            migrate(url, "all", folder)
    assert _rows(
        url,
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
        "(SELECT oid FROM pg_database WHERE datname = current_database())",
    ) == [(0,)]


def test_a_database_that_cannot_be_reached_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        migrate("postgresql://scoreboard@127.0.0.1:9/nowhere")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO boards VALUES ('Bad Name', 'incr', 'desc', 1, 2, 0, 9, 'player', 10)",
        "INSERT INTO boards VALUES ('b', 'twice', 'desc', 1, 2, 0, 9, 'player', 10)",
        "INSERT INTO boards VALUES ('b', 'incr', 'up', 1, 2, 0, 9, 'player', 10)",
        "INSERT INTO boards VALUES ('b', 'incr', 'desc', 3, 2, 0, 9, 'player', 10)",
        "INSERT INTO boards VALUES ('b', 'incr', 'desc', 1, 2, 9, 0, 'player', 10)",
        "INSERT INTO boards VALUES ('b', 'incr', 'desc', 1, 2, 0, 9007199254740992, 'player', 10)",
        "INSERT INTO boards VALUES ('b', 'incr', 'desc', 1, 2, 0, 9, 'anyone', 10)",
        "INSERT INTO boards VALUES ('b', 'incr', 'desc', 1, 2, 0, 9, 'player', 101)",
        "INSERT INTO standings VALUES ('global', 'ada', 9007199254740992, 1, 1, 1)",
        "INSERT INTO standings VALUES ('global', 'ada', -9007199254740992, 1, 1, 1)",
        "INSERT INTO standings VALUES ('global', 'ada', 1, 0, 1, 1)",
        "INSERT INTO standings VALUES ('global', 'ada', 1, 1, -1, 1)",
        "INSERT INTO standings VALUES ('global', 'ada', 1, 1, 10000000000000000, 1)",
        "INSERT INTO standings VALUES ('nowhere', 'ada', 1, 1, 1, 1)",
    ],
)
def test_the_tables_refuse_what_the_code_would_never_write(postgres_url: str, statement: str) -> None:
    with psycopg.connect(postgres_url) as connection, pytest.raises(psycopg.IntegrityError):
        connection.execute(statement.encode())
