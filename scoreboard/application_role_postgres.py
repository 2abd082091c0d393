"""The role in PostgreSQL as which everything but the migrations logs in: it may read and write rows, nothing more."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg import sql as compose
from psycopg.conninfo import conninfo_to_dict

from scoreboard.connections_postgres import postgres_errors
from scoreboard.migrations import MigrationError, locked
from scoreboard.queries import sql

CLONE: Final = "_clone"
"""Where a rotation of passwords alternates between two users, Secrets Manager names the second one so."""


def ensure_application_role(owner_url: str, application_url: str) -> str | None:
    """Make or update the role of a URL, as the owner of the tables, and return its name.

    It may be repeated at any time. None, and nothing is done, where application and owner are one user.

    Args:
        owner_url: Where and as whom to log in.
        application_url: Holds name and password of the role. Of two names that alternate it is the present one; both
            have what the first one is granted.

    Raises:
        MigrationError: PostgreSQL refuses.
        Unavailable: It cannot be used.
    """
    login = conninfo_to_dict(application_url)
    name, password = str(login.get("user", "")), str(login.get("password", ""))
    if name == conninfo_to_dict(owner_url).get("user"):
        return None
    role = name.removesuffix(CLONE)
    with postgres_errors(), psycopg.connect(owner_url, autocommit=True, connect_timeout=5) as connection:
        connection.execute("SET lock_timeout = '5s'")
        try:
            with locked(connection), connection.transaction():
                _ensure(connection, role)
                if name != role:
                    _ensure(connection, name)
                    _run(connection, "role_member", role=role, member=name)
                _set_password(connection, name, password)
                _run(connection, "role_grants", role=role)
        except psycopg.errors.Error as error:
            if isinstance(error, psycopg.OperationalError):
                raise
            raise MigrationError(f"The role {name} cannot be made: {error.diag.message_primary}.") from error
    return name


def _ensure(connection: psycopg.Connection[Any], role: str) -> None:
    if not connection.execute(sql("role_exists"), {"role": role}).fetchone():
        _run(connection, "role_create", role=role)


def _set_password(connection: psycopg.Connection[Any], role: str, password: str) -> None:
    """Send the hash and not the password, which would stand in the log of a server that logs its statements."""
    hashed = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    statement = compose.SQL(sql("role_password")).format(role=compose.Identifier(role), hash=compose.Literal(hashed))
    connection.execute(statement)


def _run(connection: psycopg.Connection[Any], name: str, **roles: str) -> None:
    identifiers = {key: compose.Identifier(role) for key, role in roles.items()}
    connection.execute(compose.SQL(sql(name)).format(**identifiers))
