"""PostgreSQL and Valkey in the place of RDS and ElastiCache: as bare as those are made, and as strict."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import psycopg
import redis
from psycopg import sql
from redis.asyncio import Redis as AsyncRedis

from ops import parts
from ops.environment import Plan, with_embedded
from ops.home import Home
from ops.postgres import PostgresPlace, find_place
from tests.rehearsal.started import MARK, running

OWNER = "scoreboard_owner"
DATABASE = "scoreboard"


@dataclass(frozen=True)
class Stores:
    """The two stores, and the way in that nobody in the deployed system has."""

    place: PostgresPlace
    postgres_port: int
    redis_port: int
    redis_admin_password: str

    def sql(self, database: str = DATABASE) -> psycopg.Connection[Any]:
        """A connection of the superuser."""
        return psycopg.connect(f"{self.server}/{database}", autocommit=True)

    @property
    def server(self) -> str:
        """Where PostgreSQL is, as its superuser sees it."""
        return f"postgresql://scoreboard@127.0.0.1:{self.postgres_port}"

    def redis(self) -> redis.Redis:
        """A client that may do anything."""
        return redis.Redis(
            port=self.redis_port, username="default", password=self.redis_admin_password, decode_responses=True
        )

    def async_redis(self) -> AsyncRedis:
        """The same, for what asks asynchronously."""
        return AsyncRedis(
            port=self.redis_port, username="default", password=self.redis_admin_password, decode_responses=True
        )

    def adopt_owner(self, secret: str) -> None:
        """Give the owner the password of its deployed secret, as RDS does, and let nobody in without one any more."""
        owner = json.loads(secret)
        with self.sql() as connection:
            statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
            connection.execute(statement.format(sql.Identifier(owner["username"]), sql.Literal(owner["password"])))
            rules = [
                "host all scoreboard 127.0.0.1/32 trust",
                "host all all 127.0.0.1/32 scram-sha-256",
            ]
            (self.place.data / "pg_hba.conf").write_text("\n".join(rules) + "\n")
            connection.execute("SELECT pg_reload_conf()")


@contextlib.contextmanager
def stores(folder: Path, mark: str) -> Iterator[Stores]:
    """Run both for the time of the block: an empty database and an empty index."""
    home = Home(folder / "stores")
    home.prepare()
    with mock.patch.dict(os.environ, {"SCOREBOARD_STATE_DIR": str(folder / "state")}):
        place = find_place(home)
    ports = home.ports(("postgres", "redis"))
    plan = Plan(with_embedded({}, ports), ports, 0)
    asyncio.run(place.initialise(home.logs / "postgres.log"))
    with contextlib.ExitStack() as stack:
        for part in (parts.postgres_part(place, plan), parts.redis_part(home, plan)):
            marked = dataclasses.replace(part, environ={**part.environ, MARK: mark})
            stack.enter_context(running(marked, home.logs / f"{part.name}.log"))
        made = Stores(place, ports["postgres"], ports["redis"], secrets.token_urlsafe(24))
        _prepare(made)
        yield made


def _prepare(made: Stores) -> None:
    with made.sql("postgres") as connection:
        # What RDS' master user is: no superuser, but it may make roles. The database is its own.
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE CREATEDB").format(sql.Identifier(OWNER)))
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(*map(sql.Identifier, (DATABASE, OWNER))))
    with redis.Redis(port=made.redis_port) as client:
        # ElastiCache has no open default user either.
        client.execute_command("ACL", "SETUSER", "default", "resetpass", f">{made.redis_admin_password}")
