"""Passwords that change while connections live: what is open goes on, what is new logs in with the new one."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from psycopg import sql

from scoreboard.connections_postgres import async_pool, open_pool, postgres_errors
from scoreboard.connections_redis import Login, async_redis_client, redis_client
from scoreboard.errors import Unavailable
from scoreboard.settings_aws import LEAST_AGE_S, LiveSecrets, load_settings
from tests.support import parts
from tests.support.secrets import Clock, Vault, vault

WITHIN_S = 30.0
_numbers = itertools.count(1)


class Rotated:
    """A login that stands in a secret, on a server that insists on the password."""

    def __init__(self, secrets: LiveSecrets, clock: Clock, rotate: Callable[[str], None], hang_up: Any) -> None:
        self.secrets = secrets
        self._clock = clock
        self._rotate = rotate
        self.hang_up: Callable[[], None] = hang_up

    def rotate(self, password: str) -> None:
        """Change the password, long before the secret is due, and not so lately that it is not looked at again."""
        self._rotate(password)
        self._clock.now += LEAST_AGE_S


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    with vault(monkeypatch) as account:
        yield account


def _live(clock: Clock, **variables: str) -> LiveSecrets:
    settings = load_settings(
        {"APP_ENV": "test", "SECRETS_REFRESH_INTERVAL": "3600000", **variables}, checks_tokens=False
    )
    return LiveSecrets(settings, loaded=True, clock=clock)


@pytest.fixture
def postgres_login(aws: Vault, postgres: parts.PostgresServer, postgres_url: str) -> Iterator[Rotated]:
    """A user of the session's PostgreSQL, who has to give a password where the others need none."""
    user, clock, address = f"rotated_{next(_numbers)}", Clock(), urlsplit(postgres_url)
    with psycopg.connect(postgres.url, autocommit=True) as admin, _password_needed(admin, user):

        def alter(verb: str, password: str) -> None:
            admin.execute(
                sql.SQL(verb + " ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(user), sql.Literal(password))
            )

        def secret(password: str) -> dict[str, object]:
            return {
                "host": address.hostname,
                "port": address.port,
                "username": user,
                "password": password,
                "dbname": address.path.lstrip("/"),
                "sslmode": "disable",
            }

        def rotate(password: str) -> None:
            alter("ALTER", password)
            aws.change(arn, secret(password))

        def hang_up() -> None:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [user])

        alter("CREATE", "first")
        arn = aws.secret("database", secret("first"))
        yield Rotated(_live(clock, DATABASE_SECRET_ARN=arn), clock, rotate, hang_up)
        hang_up()
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(user)))


@contextlib.contextmanager
def _password_needed(admin: psycopg.Connection[Any], user: str) -> Iterator[None]:
    row = admin.execute("SHOW hba_file").fetchone()
    assert row is not None
    rules = Path(row[0])
    before = rules.read_text()
    rules.write_text(f"host all {user} all scram-sha-256\n{before}")
    admin.execute("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        rules.write_text(before)
        admin.execute("SELECT pg_reload_conf()")


@pytest.fixture
def redis_login(aws: Vault, own_valkey: parts.RedisServer) -> Iterator[Rotated]:
    """A user of a Valkey of this test alone."""
    clock = Clock()
    with redis.Redis(port=own_valkey.port) as admin:

        def rotate(password: str) -> None:
            admin.execute_command("ACL", "SETUSER", "app", "on", "resetpass", f">{password}", "~*", "&*", "+@all")
            aws.change(arn, {"username": "app", "password": password})

        def hang_up() -> None:
            admin.execute_command("CLIENT", "KILL", "USER", "app")

        arn = aws.secret("redis", {"username": "app", "password": "first"})
        rotate("first")
        yield Rotated(_live(clock, REDIS_SECRET_ARN=arn), clock, rotate, hang_up)


def _soon(ask: Callable[[], str]) -> str:
    """The answer, once there is one: what was cut off is replaced when it is asked for again."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            with postgres_errors():
                return ask()
        except (Unavailable, redis.ConnectionError):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_pool_of_the_worker_logs_in_with_the_new_password(postgres_login: Rotated) -> None:
    secrets = postgres_login.secrets
    with open_pool(secrets.database_url, on_refused=secrets.expire) as pool:

        def who() -> str:
            with pool.connection() as connection:
                row = connection.execute("SELECT current_user").fetchone()
            return str(row[0]) if row else ""

        assert who().startswith("rotated_")
        for password in ("second", "third p@ss/%"):
            postgres_login.rotate(password)
            assert who().startswith("rotated_")  # what is open stays open
            postgres_login.hang_up()
            assert _soon(who).startswith("rotated_")


async def test_the_pool_of_the_api_logs_in_with_the_new_password(postgres_login: Rotated) -> None:
    secrets = postgres_login.secrets
    async with async_pool(
        secrets.database_url, min_size=1, max_size=2, idle_ms=30_000, on_refused=secrets.expire
    ) as pool:

        async def who() -> str:
            async with pool.connection() as connection:
                row = await (await connection.execute("SELECT current_user")).fetchone()
            return str(row[0]) if row else ""

        assert (await who()).startswith("rotated_")
        postgres_login.rotate("second")
        assert (await who()).startswith("rotated_")
        await asyncio.to_thread(postgres_login.hang_up)
        async with asyncio.timeout(WITHIN_S):
            while True:
                try:
                    with postgres_errors():
                        found = await who()
                    break
                except Unavailable:
                    await asyncio.sleep(0.05)
        assert found.startswith("rotated_")


def test_without_a_new_secret_the_refusal_stays_one(postgres_login: Rotated) -> None:
    secrets = postgres_login.secrets
    known = secrets.database_url()
    with open_pool(lambda: known, on_refused=secrets.expire) as pool:
        with pool.connection() as connection:
            connection.execute("SELECT 1")
        postgres_login.rotate("second")
        postgres_login.hang_up()
        with pytest.raises(Unavailable), postgres_errors(), pool.connection() as connection:
            connection.execute("SELECT 1")
    assert secrets.database_url() != known


def test_a_client_of_the_worker_logs_in_with_the_new_password_at_the_first_call(
    redis_login: Rotated, own_valkey: parts.RedisServer
) -> None:
    secrets = redis_login.secrets
    login = Login(secrets.redis_credentials, on_refused=secrets.expire)
    settings = own_valkey.settings()
    with redis_client(settings, login) as client:
        assert client.acl_whoami() == "app"
        for password in ("second", "third p@ss/%"):
            redis_login.rotate(password)
            assert client.acl_whoami() == "app"  # what is open stays open
            redis_login.hang_up()
            assert client.acl_whoami() == "app"


async def test_a_client_of_the_api_logs_in_with_the_new_password_at_the_first_call(
    redis_login: Rotated, own_valkey: parts.RedisServer
) -> None:
    secrets = redis_login.secrets
    settings = own_valkey.settings()
    client = async_redis_client(settings, Login(secrets.redis_credentials, on_refused=secrets.expire))
    assert await client.acl_whoami() == "app"
    redis_login.rotate("second")
    assert await client.acl_whoami() == "app"
    await asyncio.to_thread(redis_login.hang_up)
    assert await client.acl_whoami() == "app"
    await client.aclose()
