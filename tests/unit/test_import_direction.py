"""The rooms and who may know whom, read from the code itself."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("scoreboard", "api", "workers", "chalice_app", "ops")

PURE = ("boards", "config", "config_values", "errors", "events", "queries", "ranking", "standings")
PORTS = ("ports", "service")
# Further use cases, and what every server of submissions reads and answers alike.
USE_CASES = ("answers", "dead_letters", "reconciliation", "retention", "submissions")
DRIVERS = {
    "alert_memory_redis": {"redis"},
    "application_role_postgres": {"psycopg"},
    "auth": {"jwt"},
    "connections_postgres": {"psycopg", "psycopg_pool"},
    "connections_redis": {"redis"},
    "dead_letters_sqs": {"botocore", "mypy_boto3_sqs"},
    "event_queue_sqs": {"boto3", "botocore", "mypy_boto3_sqs"},
    "history_postgres": {"psycopg", "psycopg_pool"},
    "migrations": {"psycopg"},
    "rank_reader_redis": {"redis"},
    "rank_writer_redis": {"redis"},
    "redelivery_sqs": {"botocore", "mypy_boto3_sqs"},
    "score_reader_postgres": {"psycopg", "psycopg_pool"},
    "score_store_postgres": {"psycopg", "psycopg_pool"},
    "settings_aws": {"boto3", "botocore", "mypy_boto3_secretsmanager", "mypy_boto3_ssm"},
    "submission_gate_redis": {"redis"},
}
# Entry points read the settings too, wherever they stand.
BACKENDS = set(DRIVERS) - {"auth", "settings_aws"}
COMPOSITION_ROOTS = {"api/app.py", "workers/runtime.py", "chalice_app/chalicelib/runtime.py"}
# It is started anew every few seconds, so it may not import half of the program to learn one number.
READS_THE_ENVIRONMENT_TOO = {"api/healthcheck.py"}


def _files(*rooms: str) -> list[Path]:
    return [file for room in rooms for file in sorted((ROOT / room).rglob("*.py")) if "__pycache__" not in file.parts]


def _name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def _imports(file: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it; those of `from scoreboard import x` too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{_name(file)}: relative import"
            assert node.module is not None
            if node.module in ROOMS:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def _known(file: Path) -> tuple[set[str], set[str], set[str]]:
    """The (modules of scoreboard, other rooms, third parties) that a file imports."""
    own: set[str] = set()
    rooms: set[str] = set()
    foreign: set[str] = set()
    for module in _imports(file):
        top, _, rest = module.partition(".")
        if top == "scoreboard":
            own.add(rest.partition(".")[0])
        elif top in ROOMS:
            rooms.add(top)
        elif top not in sys.stdlib_module_names:
            foreign.add(top)
    return own, rooms, foreign


def test_every_module_of_the_domain_has_its_place_in_this_test() -> None:
    modules = {file.stem for file in (ROOT / "scoreboard").glob("*.py")} - {"__init__"}
    assert modules == {*PURE, *PORTS, *USE_CASES, *DRIVERS}


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_know_the_standard_library_and_each_other(module: str) -> None:
    own, rooms, foreign = _known(ROOT / "scoreboard" / f"{module}.py")
    assert own <= set(PURE)
    assert not rooms
    assert not foreign


@pytest.mark.parametrize("module", PORTS)
def test_ports_and_use_cases_know_no_backend_and_no_driver(module: str) -> None:
    own, rooms, foreign = _known(ROOT / "scoreboard" / f"{module}.py")
    assert own <= {*PURE, "auth", "ports"}
    assert not rooms
    assert not foreign


@pytest.mark.parametrize("module", USE_CASES)
def test_further_use_cases_know_the_first_ones_and_no_backend(module: str) -> None:
    own, rooms, foreign = _known(ROOT / "scoreboard" / f"{module}.py")
    assert own <= {*PURE, *PORTS, "auth", "submissions"}
    assert not rooms
    assert not foreign


@pytest.mark.parametrize("module", DRIVERS)
def test_backends_know_their_driver_and_modules_of_the_same_driver(module: str) -> None:
    own, rooms, foreign = _known(ROOT / "scoreboard" / f"{module}.py")
    same_driver = {other for other, drivers in DRIVERS.items() if drivers & DRIVERS[module]}
    assert own <= {*PURE, "auth", "ports", *same_driver}
    assert not rooms
    assert foreign <= DRIVERS[module]


@pytest.mark.parametrize("file", _files("api", "workers", "chalice_app"), ids=_name)
def test_only_composition_roots_name_a_backend(file: Path) -> None:
    own, _, _ = _known(file)
    if _name(file) not in COMPOSITION_ROOTS:
        assert not own & BACKENDS


@pytest.mark.parametrize("file", _files("api", "workers", "chalice_app"), ids=_name)
def test_programs_do_not_know_each_other(file: Path) -> None:
    _, rooms, _ = _known(file)
    assert rooms <= {file.relative_to(ROOT).parts[0]}


@pytest.mark.parametrize("room", [room for room in ROOMS if (ROOT / room).is_dir()])
def test_programs_do_not_know_the_tests(room: str) -> None:
    for file in _files(room):
        assert not [module for module in _imports(file) if module.split(".")[0] == "tests"], _name(file)


@pytest.mark.parametrize("file", _files("scoreboard", "api", "workers", "chalice_app"), ids=_name)
def test_only_the_settings_read_the_environment(file: Path) -> None:
    if _name(file) == "scoreboard/config.py" or _name(file) in READS_THE_ENVIRONMENT_TOO:
        return
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"environ", "environb", "getenv"}, f"line {node.lineno}"
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            assert not {alias.name for alias in node.names} & {"environ", "environb", "getenv"}


def test_no_file_is_longer_than_four_hundred_lines() -> None:
    lengths = {_name(file): len(file.read_text().splitlines()) for file in _files(*ROOMS, "tests")}
    assert {name: length for name, length in lengths.items() if length > 400} == {}
