"""SQL and Lua are files: each is used, each that is used is there, and each says what it does."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from scoreboard.queries import MIGRATIONS, lua, sql

ROOT = Path(__file__).resolve().parents[2]
READERS = {"sql": sql, "lua": lua}
FILES = {kind: sorted((ROOT / "scoreboard" / kind).glob(f"*.{kind}")) for kind in READERS}
EVERY = [pytest.param(kind, file, id=file.name) for kind, files in FILES.items() for file in files]


def _words() -> set[str]:
    """Every text in the code of the domain."""
    return {
        node.value
        for file in (ROOT / "scoreboard").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def _asked_for(kind: str) -> set[str]:
    """The names in calls of `sql` and `lua`; those that a call gets from a variable are among the words."""
    return {
        node.args[0].value
        for file in (ROOT / "scoreboard").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == kind
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


@pytest.mark.parametrize(("kind", "file"), EVERY)
def test_every_file_is_used_by_its_name(kind: str, file: Path) -> None:
    assert file.stem in _words()
    assert READERS[kind](file.stem) == file.read_text()


@pytest.mark.parametrize("kind", READERS)
def test_every_name_that_is_used_has_a_file(kind: str) -> None:
    asked = _asked_for(kind)
    assert asked
    assert asked <= {file.stem for file in FILES[kind]}


@pytest.mark.parametrize(("kind", "file"), EVERY)
def test_every_file_begins_with_what_it_does(kind: str, file: Path) -> None:
    first = file.read_text().splitlines()[0]
    assert first.startswith("-- ")
    assert len(first) > 10


@pytest.mark.parametrize(
    "file", [file for file in MIGRATIONS.iterdir() if file.name.endswith(".sql")], ids=lambda f: f.name
)
def test_every_migration_begins_with_what_it_does(file: Path) -> None:
    assert file.read_text().startswith("-- ")


@pytest.mark.parametrize("file", sorted((ROOT / "scoreboard").glob("*.py")), ids=lambda file: file.name)
def test_no_query_is_written_in_code(file: Path) -> None:
    """But for the few words that are shorter than a file would be, and what migrations run on before there are any."""
    if file.name == "migrations.py":
        return
    words = {
        node.value
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    queries = {word for word in words if word.startswith(("SELECT ", "INSERT ", "UPDATE ", "DELETE ", "redis.call"))}
    assert queries <= {"SELECT 1", "SELECT set_config('statement_timeout', %s, true)"}
