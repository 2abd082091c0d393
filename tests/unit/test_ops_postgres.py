"""Where the embedded PostgreSQL runs, and as whom."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops import postgres
from ops.binaries import postgres_install
from ops.home import Home
from tests.support.stack import open_folder

IS_ROOT = os.geteuid() == 0


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with open_folder() as made:
        monkeypatch.setenv("SCOREBOARD_STATE_DIR", str(made / "state"))
        yield made


def home_at(path: Path) -> Home:
    made = Home(path)
    made.prepare()
    return made


def test_it_runs_from_the_wheel_with_its_data_at_home(folder: Path) -> None:
    home = home_at(folder / "home")

    place = postgres.find_place(home)

    assert place.data == home.path / "postgres"
    assert place.programs == postgres_install() / "bin" or IS_ROOT
    assert (place.owner is not None) == IS_ROOT
    assert place.is_new


def test_programs_that_its_user_may_not_reach_are_copied_and_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = folder / "closed"
    installed = postgres_install()
    package = installed.parent
    shutil.copytree(installed, closed / package.name / installed.name, symlinks=True)
    for libraries in package.parent.glob(f"{package.name}.libs"):
        shutil.copytree(libraries, closed / libraries.name)
    closed.chmod(0o700)
    monkeypatch.setattr(postgres, "postgres_install", lambda: closed / package.name / installed.name)

    place = postgres.find_place(home_at(folder / "home"))

    assert (closed in place.programs.parents) != IS_ROOT
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    uid, gid = place.owner or (os.geteuid(), os.getegid())
    done = subprocess.run([str(place.programs / "initdb"), "--version"], user=uid, group=gid, cwd="/", check=True)
    assert done.returncode == 0


def test_a_closed_home_keeps_its_data_outside_and_stays_there_when_it_opens(folder: Path) -> None:
    home = home_at(folder / "home")
    home.path.chmod(0o700)
    place = postgres.find_place(home)
    assert (postgres.state_directory(home) in place.data.parents) == IS_ROOT
    place.data.mkdir(parents=True)

    home.path.chmod(0o755)

    assert postgres.find_place(home).data == place.data


def test_a_new_home_in_the_place_of_another_does_not_find_its_data(folder: Path) -> None:
    first = postgres.state_directory(home_at(folder / "home"))
    shutil.rmtree(folder / "home")

    assert postgres.state_directory(home_at(folder / "home")) != first
