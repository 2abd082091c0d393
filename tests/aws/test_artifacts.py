"""What Lambda gets: one copy of `scoreboard`, wheels of the right platform, nothing else, the same bytes every time."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from packaging.tags import parse_tag

from ops.package import LARGEST, LOCK, PLATFORMS, build_chalice, build_worker, files, target
from ops.terminal import OpsError, WrongUse
from tests.image.context import copy_seen, tree_hash

ROOT = Path(__file__).resolve().parents[2]
MACHINES = {"arm64": 183, "x86_64": 62}
"""Numbers of ELF."""
GLIBC = (2, 34)
"""Of Amazon Linux 2023, on which Lambda's Python 3.12 and later run."""
HERE = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
ROOMS = {"worker": {"scoreboard", "workers"}, "chalice": {"app.py", "chalice", "chalicelib", "scoreboard"}}
LAMBDA_BRINGS = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py", "urllib3")
KINDS = pytest.mark.parametrize("kind", ["worker", "chalice"])


@dataclass(frozen=True)
class Package:
    """One built package.

    Attributes:
        folder: Its files, as Lambda lays them out.
        artifacts: What is uploaded.
        size: What the builder says.
    """

    folder: Path
    artifacts: Path
    size: int


def build(kind: str, at: Path, arch: str = "arm64", python: str = "3.13") -> Package:
    at.mkdir()
    if kind == "worker":
        return Package(at, at, build_worker(at, PLATFORMS[arch], python))
    size = build_chalice(at, PLATFORMS[arch], python)
    with zipfile.ZipFile(at / "deployment.zip") as archive:
        archive.extractall(at / "unzipped")
    return Package(at / "unzipped", at, size)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Package]:
    """Both, as they are deployed."""
    folder = tmp_path_factory.mktemp("packages")
    return {kind: build(kind, folder / kind) for kind in ROOMS}


def lambda_python() -> tuple[str, str]:
    """An interpreter and its version: Lambda's Python if it can be found here, else the running one."""
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    candidates = [sys.executable] if running == "3.13" else [shutil.which("python3.13") or "", sys.executable]
    for candidate in filter(None, candidates):
        ask = [candidate, "-I", "-S", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        answer = subprocess.run(ask, capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            return candidate, answer.stdout.strip()
    raise AssertionError("the running interpreter does not run")


def imported(package: Path, statement: str, tmp_path: Path) -> str:
    """Run a statement with the package, what Lambda's runtime brings, the standard library, and nothing else."""
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    installed = Path(boto3.__file__).parents[1]
    for name in LAMBDA_BRINGS:
        (runtime / name).symlink_to(installed / name)
    interpreter, _ = lambda_python()
    # -I and -S: no site-packages, no variables, not the current folder.
    prelude = f"import sys; sys.path[:0] = [{str(package)!r}, {str(runtime)!r}]; "
    done = subprocess.run(
        [interpreter, "-I", "-S", "-B", "-W", "error::ImportWarning", "-c", prelude + statement],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_clone_packages_and_image_hold_the_same_scoreboard(packages: dict[str, Package], tmp_path: Path) -> None:
    expected = tree_hash(ROOT / "scoreboard")

    hashes = {kind: tree_hash(package.folder / "scoreboard") for kind, package in packages.items()}

    assert hashes == {"worker": expected, "chalice": expected}
    assert tree_hash(copy_seen("scoreboard", tmp_path)) == expected


def test_a_change_of_one_byte_or_name_changes_the_hash(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scoreboard" / "lua", tmp_path / "lua")
    before = tree_hash(tmp_path / "lua")
    with (tmp_path / "lua" / "apply.lua").open("a") as script:
        script.write(" ")
    changed = tree_hash(tmp_path / "lua")
    (tmp_path / "lua" / "apply.lua").rename(tmp_path / "lua" / "apply2.lua")

    assert len({before, changed, tree_hash(tmp_path / "lua")}) == 3


@KINDS
def test_a_second_build_gives_the_same_bytes_times_and_modes(
    kind: str, packages: dict[str, Package], tmp_path: Path
) -> None:
    again = build(kind, tmp_path / "again")

    assert list(_description(again.artifacts)) == list(_description(packages[kind].artifacts))


def _description(folder: Path) -> Iterator[tuple[object, ...]]:
    for path in files(folder):
        if "unzipped" not in path.parts:
            of_the_package = path.stat().st_mtime if path.suffix not in (".zip", ".yaml") else 0
            yield path.relative_to(folder), path.stat().st_mode, of_the_package, path.read_bytes()


@KINDS
def test_it_is_small(kind: str, packages: dict[str, Package]) -> None:
    size = sum(path.stat().st_size for path in files(packages[kind].folder))

    assert size == packages[kind].size
    assert size < LARGEST == 40 * 1024 * 1024


@KINDS
def test_the_wheels_are_of_the_platform_that_it_is_for(kind: str, packages: dict[str, Package]) -> None:
    for wheel in packages[kind].folder.glob("*.dist-info/WHEEL"):
        tags = re.findall(r"^Tag: (\S+)$", wheel.read_text(), re.MULTILINE)
        assert any(_fits_lambda(tag) for tag in tags), f"{wheel.parent.name}: {tags}"


def _fits_lambda(text: str) -> bool:
    for tag in parse_tag(text):
        legacy = tag.platform.replace("manylinux2014", "manylinux_2_17")
        version = re.fullmatch(r"manylinux_(\d+)_(\d+)_aarch64", legacy)
        if tag.platform == "any" and tag.interpreter in ("py3", "py2.py3", "cp313"):
            return True
        if version and tuple(map(int, version.groups())) <= GLIBC and tag.interpreter in ("cp313", "py3"):
            return True
    return False


@KINDS
def test_the_machine_code_is_for_the_processor_that_it_is_for(kind: str, packages: dict[str, Package]) -> None:
    libraries = [path for path in files(packages[kind].folder) if ".so" in path.suffixes]

    assert {"psycopg_binary", "psycopg_binary.libs", "hiredis"} == {path.parent.name for path in libraries}
    for library in libraries:
        header = library.read_bytes()[:20]
        assert header[:4] == b"\x7fELF"
        assert int.from_bytes(header[18:20], "little") == MACHINES["arm64"], library.name
        if library.parent.name != "psycopg_binary.libs":
            assert library.name.endswith(".cpython-313-aarch64-linux-gnu.so")


@KINDS
def test_it_holds_the_locked_packages_and_our_rooms_and_nothing_else(kind: str, packages: dict[str, Package]) -> None:
    folder = packages[kind].folder
    locked = {
        _normal(name)
        for name, marker in re.findall(r"^([a-z0-9-]+)==[^ ;\\]+ *(;[^\\]*)?", LOCK.read_text(), re.MULTILINE)
        if "win32" not in marker and "3.11.3" not in marker
    }
    installed = {_normal(path.name.partition("-")[0]) for path in folder.glob("*.dist-info")}
    modules = {"aws_lambda_powertools", "hiredis", "jmespath", "jwt", "psycopg", "psycopg_binary", "psycopg_pool"}
    modules |= {"psycopg_binary.libs", "redis", "typing_extensions.py"}

    assert installed == locked
    assert {path.name for path in folder.iterdir() if path.suffix != ".dist-info"} == modules | ROOMS[kind]


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")


@KINDS
def test_it_holds_no_test_and_no_trace_of_the_machine_that_built_it(kind: str, packages: dict[str, Package]) -> None:
    folder = packages[kind].folder
    unwanted = re.compile(
        r"(^|/)(tests?|__pycache__|bin|RECORD|INSTALLER|direct_url\.json|conftest\.py|\..*)(/|$)|\.pyc$"
    )
    here = str(ROOT).encode()

    assert [name for path in files(folder) if unwanted.search(name := path.relative_to(folder).as_posix())] == []
    assert [path.name for path in files(folder) if here in path.read_bytes()] == []


def test_the_handler_of_the_worker_imports_where_there_is_nothing_else(tmp_path: Path) -> None:
    package = build("worker", tmp_path / "package", HERE, lambda_python()[1])

    printed = imported(
        package.folder,
        "from workers.score_events import handler; import psycopg, scoreboard; "
        "print(handler.__name__, psycopg.pq.__impl__, scoreboard.__file__)",
        tmp_path,
    )

    assert printed.split() == ["handler", "binary", str(package.folder / "scoreboard" / "__init__.py")]


def test_every_handler_of_the_operations_app_imports_where_there_is_nothing_else(tmp_path: Path) -> None:
    package = build("chalice", tmp_path / "package", HERE, lambda_python()[1])
    template = (package.artifacts / "sam.yaml").read_text()
    handlers = sorted(set(re.findall(r"^ +Handler: app\.(\w+)$", template, re.MULTILINE)))

    printed = imported(
        package.folder,
        f"import app; print(*[name for name in {handlers!r} if callable(getattr(app, name))], app.__file__)",
        tmp_path,
    )

    assert printed.split() == [*handlers, str(package.folder / "app.py")]
    assert "app" in handlers, "the submission edge"


def test_a_platform_or_python_that_lambda_lacks_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMBDA_ARCH", "riscv64")
    with pytest.raises(WrongUse, match="LAMBDA_ARCH is 'riscv64': it must be one of arm64, x86_64"):
        target()
    monkeypatch.setenv("LAMBDA_ARCH", "x86_64")
    monkeypatch.setenv("LAMBDA_PYTHON", "3.10")
    with pytest.raises(WrongUse, match=r"LAMBDA_PYTHON is '3\.10'"):
        target()


def test_a_folder_that_holds_something_already_is_refused(tmp_path: Path) -> None:
    (tmp_path / "left-over").touch()

    with pytest.raises(OpsError, match="is not empty"):
        build_worker(tmp_path, PLATFORMS["arm64"], "3.13")
