"""What the environment does not say comes from `.env`, on one machine only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ops.cli import read_env_file


@pytest.fixture(autouse=True)
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "env"
    file.write_text("JWT_EXPIRY=15m\nPORT=4000\n# PORT=5000\n")
    monkeypatch.setenv("SCOREBOARD_ENV_FILE", str(file))
    monkeypatch.setenv("PORT", "3000")
    monkeypatch.setenv("JWT_EXPIRY", "undone after the test")
    monkeypatch.delenv("JWT_EXPIRY")


@pytest.mark.parametrize("app_env", [None, "development", "test"])
def test_the_file_adds_what_the_environment_does_not_say(app_env: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if app_env is None:
        monkeypatch.delenv("APP_ENV", raising=False)
    else:
        monkeypatch.setenv("APP_ENV", app_env)

    read_env_file()

    assert (os.environ["JWT_EXPIRY"], os.environ["PORT"]) == ("15m", "3000")


@pytest.mark.parametrize("app_env", ["staging", "production"])
def test_production_reads_no_file(app_env: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", app_env)

    read_env_file()

    assert "JWT_EXPIRY" not in os.environ
