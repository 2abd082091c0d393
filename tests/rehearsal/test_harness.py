"""What the rehearsal itself promises: it says how it went, leaves nothing behind, and does not patch what is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import types
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ops.terminal import OpsError
from tests.rehearsal import started, translate
from tests.rehearsal.__main__ import LIMITS
from tests.rehearsal.emulator.patching import replace
from tests.rehearsal.emulator.tasks import task_credentials
from tests.rehearsal.report import Report, StepFailed, expect, until
from tests.rehearsal.sam import configured

WAIT = [sys.executable, "-c", "import time; print('on', flush=True); time.sleep(60)"]


def test_a_step_that_fails_is_told_with_its_notes_and_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(as_json=True)
    with report.step("the first"):
        pass
    with pytest.raises(StepFailed, match="it is not so"):
        _fail(report)
    report.finish({"types": {"AWS::X": "why"}}, "it is not so", "/somewhere")
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert [(each["title"], each["ok"]) for each in result["steps"]] == [("the first", True), ("the second", False)]
    assert (result["ok"], result["problem"], result["kept"]) == (False, "it is not so", "/somewhere")
    assert "✗ the second" in said.err
    assert "worth knowing" in said.err


def _fail(report: Report) -> None:
    with report.step("the second") as step:
        step.note("worth knowing")
        expect(False, "it is not so")


def test_what_cannot_be_rehearsed_is_said_when_all_steps_pass(capsys: pytest.CaptureFixture[str]) -> None:
    limits = tomllib.loads(LIMITS.read_text())
    Report(as_json=False).finish(limits, None, None)
    said = capsys.readouterr().out
    for entries in limits.values():
        for name, reason in entries.items():
            assert f"  {name}: {reason}" in said


def test_waiting_ends_with_the_reason_which_is_looked_up_only_then() -> None:
    assert until(lambda: 7, seconds=0, otherwise="never") == 7
    with pytest.raises(StepFailed, match="looked up"):
        until(lambda: None, seconds=0, otherwise=lambda: "looked up")


def test_a_program_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WAIT[2]!r}])"
    environ = {started.MARK: "too-long", "PATH": os.defpath}
    with pytest.raises(OpsError, match="took longer"):
        started.run([sys.executable, "-c", child], cwd=tmp_path, environ=environ, log=tmp_path / "log", timeout_s=1.5)
    assert started.left_over("too-long") == []


def test_what_is_left_running_is_found_by_its_mark_only(tmp_path: Path) -> None:
    def begin(mark: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(WAIT, env={started.MARK: mark}, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    mine, other = begin("mine"), begin("other")
    try:
        (found,) = started.left_over("mine", within_s=0)
        assert found.startswith(f"{mine.pid} ")
    finally:
        for process in (mine, other):
            process.kill()
            process.communicate()
    assert started.left_over("mine") == []


def test_a_patch_of_a_name_that_is_gone_fails_at_once() -> None:
    module: Any = types.SimpleNamespace(present=lambda: 1)
    replace(module, "present", lambda present: lambda: present() + 1)
    assert module.present() == 2
    with pytest.raises(AttributeError):
        replace(module, "gone", lambda gone: gone)
    with pytest.raises(KeyError):
        replace({}, "gone", lambda gone: gone)


def test_credentials_of_a_task_are_its_own_and_always_the_same() -> None:
    first, second = task_credentials("arn:aws:ecs:r:1:task/c/1"), task_credentials("arn:aws:ecs:r:1:task/c/2")
    assert first == task_credentials("arn:aws:ecs:r:1:task/c/1")
    assert not set(first.values()) & set(second.values())


def test_another_package_is_another_version(tmp_path: Path) -> None:
    folder, package = tmp_path / "code", tmp_path / "code.zip"
    folder.mkdir()
    (folder / "a.py").write_text("1")
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("a.py", "1")
    before = translate.digest(folder), translate.digest(package)
    assert before == (translate.digest(folder), translate.digest(package))
    (folder / "a.py").write_text("2")
    with zipfile.ZipFile(package, "a") as archive:
        archive.writestr("b.py", "1")
    after = translate.digest(folder), translate.digest(package)
    assert not set(before) & set(after)


def test_the_profile_is_the_one_of_samconfig() -> None:
    region, stack_name, parameters = configured()
    assert (region, stack_name, parameters["EnvironmentName"]) == ("us-east-1", "scoreboard-local", "local")
