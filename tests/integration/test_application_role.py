"""The application's role on a real PostgreSQL: everything but migrations works as it, and nothing more than that."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from scoreboard.application_role_postgres import ensure_application_role
from scoreboard.boards import GLOBAL
from scoreboard.config import Settings
from scoreboard.connections_postgres import async_pool, open_pool
from scoreboard.errors import InvalidField, Unavailable
from scoreboard.history_postgres import PostgresHistory
from scoreboard.migrations import MigrationError, migrate
from scoreboard.ports import EventStatus
from scoreboard.rank_writer_redis import RedisRankWriter
from scoreboard.reconciliation import Outcome, reconcile
from scoreboard.retention import forget_old
from scoreboard.score_reader_postgres import PostgresScoreReader
from scoreboard.score_store_postgres import PostgresScoreStore
from scoreboard.service import apply_events
from tests.support import parts
from tests.support.model import board, event
from tests.support.operations import invoked, operations_on
from tests.support.secrets import vault

_numbers = itertools.count(1)


def _as(url: str, user: str, password: str = "of the test") -> str:  # noqa: S107
    at = urlsplit(url)
    return at._replace(netloc=f"{user}:{password.replace(' ', '%20')}@{at.hostname}:{at.port}").geturl()


@pytest.fixture
def name(postgres: parts.PostgresServer, postgres_url: str) -> Iterator[str]:
    """A name of a role of this test alone."""
    made = f"application_{next(_numbers)}"
    yield made
    for database in (postgres_url, postgres.url):
        with psycopg.connect(database, autocommit=True) as connection:
            for role in (f"{made}_clone", made):
                if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                    connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
                    if database == postgres.url:
                        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


@pytest.fixture
def role_url(postgres_url: str, name: str) -> str:
    """The database of the test, as the application's role."""
    url = _as(postgres_url, name)
    assert ensure_application_role(postgres_url, url) == name
    return url


async def test_everything_works_as_the_role(
    role_url: str, store: PostgresScoreStore, writer: RedisRankWriter, postgres_url: str
) -> None:
    bounded = board(max_score=10)
    store.create_board(bounded)
    good, above = event("ada", 5), event("eve", 11, board_id=bounded.board_id)
    with open_pool(role_url) as pool:
        mine = PostgresScoreStore(pool)
        report = apply_events(
            [good.to_json(), good.to_json(), above.to_json(), event("bob", 5000).to_json(), "rubbish"],
            store=mine,
            writer=writer,
            timeout_ms=10_000,
        )
        assert (report.fresh, sorted(report.failed), report.index_error) == (1, [2, 3, 4], None)
        assert mine.apply([event("ada", 1)]).fresh == 1
        assert reconcile(store=mine, writer=writer, holder="test", time_left=lambda: True).boards == {
            "global": Outcome.REBUILT,
            bounded.board_id: Outcome.REBUILT,
        }
        with psycopg.connect(postgres_url) as owner:
            owner.execute("UPDATE score_events SET applied_at = now() - interval '500 days'")
            owner.execute("UPDATE score_rejections SET rejected_at = now() - interval '500 days'")
        forgotten = forget_old(PostgresHistory(pool), older_than_days=400, time_left=lambda: True)
        assert (forgotten.events, forgotten.rejections) == (2, 2)
        late = event("ada", 1)
        assert mine.apply([late]).fresh == 1
    async with async_pool(role_url, min_size=1, max_size=2, idle_ms=30_000) as pool_of_reader:
        reader = PostgresScoreReader(pool_of_reader)
        assert {rules.board_id for rules in await reader.boards()} == {"global", bounded.board_id}
        assert [entry.score for entry in (await reader.top(GLOBAL, 10)).entries] == [7]
        assert (await reader.around(GLOBAL, "ada", 2)).total == 1
        assert (await reader.user(GLOBAL, "ada")).entry.rank == 1
        record = await reader.event(late.event_id)
        assert record is not None
        assert record.status is EventStatus.APPLIED
        assert await reader.ping()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (n integer)",
        "ALTER TABLE standings ADD COLUMN more integer",
        "DROP TABLE score_events",
        "TRUNCATE score_events",
        "CREATE INDEX ON standings (score)",
        "CREATE FUNCTION mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE ROLE another",
        "INSERT INTO boards SELECT 'mine', operator, sort_order, 1, 1, 1, 1, writers, 1 FROM boards",
        "UPDATE boards SET max_change = 1000000",
        "DELETE FROM boards",
        "DELETE FROM standings",
        "UPDATE score_events SET value = 1",
        "SELECT * FROM schema_migrations",
        "INSERT INTO schema_migrations (name, phase, sha256) VALUES ('9999_x', 'pre', '')",
    ],
)
def test_what_the_application_never_does_is_refused(role_url: str, statement: str) -> None:
    with psycopg.connect(role_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def _hash_of(url: str, role: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [role]).fetchone()
    assert row is not None
    return str(row[0])


def test_it_may_be_repeated_and_takes_a_new_password(role_url: str, postgres_url: str, name: str) -> None:
    first = _hash_of(postgres_url, name)
    assert first.startswith("SCRAM-SHA-256$")
    assert ensure_application_role(postgres_url, _as(postgres_url, name, "another one")) == name
    assert _hash_of(postgres_url, name) != first


def test_a_table_of_a_later_migration_can_be_used_at_once(role_url: str, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as owner:
        owner.execute("CREATE TABLE later (n serial)")
    with psycopg.connect(role_url) as connection:
        connection.execute("INSERT INTO later DEFAULT VALUES")
        assert connection.execute("DELETE FROM later").rowcount == 1


def test_of_two_names_that_alternate_the_second_has_what_the_first_has(
    role_url: str, postgres_url: str, name: str
) -> None:
    clone = _as(postgres_url, f"{name}_clone")
    for _ in range(2):
        assert ensure_application_role(postgres_url, clone) == f"{name}_clone"
    for url in (role_url, clone):
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM boards").fetchone() == (1,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("DELETE FROM boards")


def test_the_second_name_can_be_the_first_that_is_seen(postgres_url: str, name: str) -> None:
    clone = _as(postgres_url, f"{name}_clone")
    assert ensure_application_role(postgres_url, clone) == f"{name}_clone"
    with psycopg.connect(clone) as connection:
        connection.execute("SELECT * FROM standings")
    assert _hash_of(postgres_url, name) == "None"


def test_an_owner_that_is_no_superuser_suffices(postgres: parts.PostgresServer, name: str) -> None:
    """The user that RDS makes is none: it may make roles, and owns the database."""
    owner, database = f"owner_{name}", f"owned_{name}"
    with psycopg.connect(postgres.url, autocommit=True) as superuser:
        superuser.execute(f"CREATE ROLE {owner} LOGIN CREATEROLE".encode())
        superuser.execute(f"CREATE DATABASE {database} OWNER {owner}".encode())
    url = _as(f"{postgres.url.rpartition('/')[0]}/{database}", owner)
    try:
        migrate(url)
        for role in (name, f"{name}_clone", name):
            for _ in range(2):
                assert ensure_application_role(url, _as(url, role)) == role
            with open_pool(_as(url, role)) as pool:
                assert PostgresScoreStore(pool).apply([event("ada", 1)]).fresh == 1
    finally:
        postgres.drop(url)
        with psycopg.connect(postgres.url, autocommit=True) as superuser:
            for role in (f"{name}_clone", name, owner):
                superuser.execute(f"DROP ROLE IF EXISTS {role}".encode())


def test_where_owner_and_application_are_one_nothing_is_done(postgres_url: str) -> None:
    assert ensure_application_role(postgres_url, postgres_url) is None


def test_what_postgresql_refuses_is_a_sentence_without_the_password(role_url: str, postgres_url: str) -> None:
    with pytest.raises(MigrationError) as caught:
        ensure_application_role(role_url, _as(postgres_url, "another", "a secret word"))
    assert caught.value.message.startswith("The role another cannot be made: ")
    assert "secret word" not in caught.value.message
    with pytest.raises(Unavailable):
        ensure_application_role("postgresql://scoreboard@127.0.0.1:9/nowhere", role_url)


# The function


class Stack:
    """CloudFormation, as far as it waits for an answer."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        self.types: list[str | None] = []
        stack = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                stack.answers.append(json.loads(body))
                stack.types.append(self.headers["Content-Type"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def event(self, kind: str, **more: Any) -> dict[str, Any]:
        """What CloudFormation sends."""
        return {
            "RequestType": kind,
            "ResponseURL": f"http://127.0.0.1:{self.server.server_port}/answer?signature=x",
            "StackId": "arn:aws:cloudformation:us-east-1:000000000000:stack/x/1",
            "RequestId": "request",
            "LogicalResourceId": "Migration",
            "ResourceType": "Custom::Migration",
            "ResourceProperties": {"Schema": "1"},
            **more,
        }


@pytest.fixture
def stack() -> Iterator[Stack]:
    made = Stack()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def empty_url(postgres: parts.PostgresServer) -> Iterator[str]:
    url = postgres.empty_database()
    yield url
    postgres.drop(url)


@pytest.fixture
def operations(monkeypatch: pytest.MonkeyPatch, redis_settings: Settings, empty_url: str) -> Iterator[None]:
    with operations_on(monkeypatch, redis_settings, DATABASE_URL=empty_url):
        yield


def test_a_new_stack_gets_the_whole_schema_and_an_answer(operations: None, stack: Stack, empty_url: str) -> None:
    answer = invoked("migrate", stack.event("Create"))
    assert stack.answers == [answer]
    assert stack.types == [""]
    assert (answer["Status"], answer["PhysicalResourceId"], answer["NoEcho"]) == ("SUCCESS", "scoreboard-schema", False)
    assert "0001_boards_standings_events" in answer["Data"]["Applied"]
    assert {name: answer[name] for name in ("StackId", "RequestId", "LogicalResourceId")} == {
        "StackId": "arn:aws:cloudformation:us-east-1:000000000000:stack/x/1",
        "RequestId": "request",
        "LogicalResourceId": "Migration",
    }
    again = invoked("migrate", stack.event("Update", PhysicalResourceId="scoreboard-schema"))
    assert (again["Status"], again["Data"]["Applied"]) == ("SUCCESS", "nothing")
    with psycopg.connect(empty_url) as connection:
        assert connection.execute("SELECT count(*) FROM boards").fetchone() == (1,)


def test_a_deletion_is_answered_and_leaves_everything(operations: None, stack: Stack, empty_url: str) -> None:
    invoked("migrate", stack.event("Create"))
    answer = invoked("migrate", stack.event("Delete", PhysicalResourceId="another-name"))
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", "another-name")
    with psycopg.connect(empty_url) as connection:
        assert connection.execute("SELECT count(*) FROM boards").fetchone() == (1,)


def test_a_migration_that_fails_is_the_reason_of_the_stack(operations: None, stack: Stack, empty_url: str) -> None:
    with psycopg.connect(empty_url) as connection:
        connection.execute("CREATE TABLE boards (n integer)")
    answer = invoked("migrate", stack.event("Create"))
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("0001_boards_standings_events failed and was not recorded: ")
    assert "\n" not in answer["Reason"]
    assert stack.answers == [answer]


def test_a_database_that_is_away_is_the_reason_too(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, redis_settings: Settings
) -> None:
    nowhere = "postgresql://scoreboard:hidden@127.0.0.1:9/nowhere"
    with operations_on(monkeypatch, redis_settings, DATABASE_URL=nowhere):
        answer = invoked("migrate", stack.event("Create"))
    assert (answer["Status"], answer["Reason"]) == (
        "FAILED",
        "PostgreSQL cannot be used for the moment: OperationalError.",
    )


def test_a_phase_can_be_run_by_hand(operations: None, empty_url: str) -> None:
    assert invoked("migrate", {"phase": "pre"})["applied"][0] == "0001_boards_standings_events"
    assert invoked("migrate", {}) == {"phase": "all", "applied": [], "role": None}
    with pytest.raises(InvalidField, match="phase must be one of: pre, post, all"):
        invoked("migrate", {"phase": "both"})


def test_a_warm_function_reads_the_logins_anew(
    monkeypatch: pytest.MonkeyPatch, redis_settings: Settings, postgres: parts.PostgresServer, name: str
) -> None:
    """What it read for the call before may be from before a rotation."""
    owner = urlsplit(postgres.url).username
    databases = [postgres.empty_database() for _ in range(2)]

    def login(url: str, user: str | None) -> dict[str, Any]:
        at = urlsplit(url)
        return {
            "username": user, "password": "of the test", "host": at.hostname, "port": at.port,
            "dbname": at.path[1:], "sslmode": "disable",
        }  # fmt: skip

    with vault(monkeypatch) as secrets:
        owned, used = (
            secrets.secret(who, login(databases[0], as_whom)) for who, as_whom in (("o", owner), ("a", name))
        )
        with operations_on(monkeypatch, redis_settings, DATABASE_SECRET_ARN=used, DATABASE_OWNER_SECRET_ARN=owned):
            assert invoked("migrate", {})["role"] == name
            secrets.change(owned, login(databases[1], owner))
            secrets.change(used, login(databases[1], f"{name}_clone"))
            outcome = invoked("migrate", {})
    assert (outcome["role"], len(outcome["applied"]) > 0) == (f"{name}_clone", True)
    for database in databases:
        postgres.drop(database)
