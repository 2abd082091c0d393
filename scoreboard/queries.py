"""SQL and Lua by name, read from their files once. Pure."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final, LiteralString

MIGRATIONS: Final = files("scoreboard.sql") / "migrations"


@cache
def sql(name: str) -> LiteralString:
    """Return the text of `sql/<name>.sql`. It is part of the program, so it counts as literal."""
    return (files("scoreboard.sql") / f"{name}.sql").read_text()


@cache
def lua(name: str) -> str:
    """Return the text of `lua/<name>.lua`."""
    return (files("scoreboard.lua") / f"{name}.lua").read_text()
