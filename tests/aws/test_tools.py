"""What the runner makes of the tools' answers; the tools themselves run in `make check-aws`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.aws import tools
from tests.aws.__main__ import main
from tests.aws.edits import Edit
from tests.aws.tools import Missing, explained, require

REASON = "It is like this for a reason that one can read."


def failed(
    check: str = "CKV_AWS_1", file: str = "/sam/data.yaml", resource: str = "AWS::KMS::Key.Key"
) -> dict[str, Any]:
    return {"check_id": check, "file_path": file, "resource": resource, "check_name": "Ensure something"}


def skip(
    check: str = "CKV_AWS_1", pattern: str = "sam/data.yaml AWS::KMS::Key.*", because: str = REASON
) -> dict[str, Any]:
    return {"check": check, "resources": [pattern], "because": because}


def test_what_the_scan_finds_is_a_finding_without_a_reason() -> None:
    findings, count = explained([failed()], [])
    assert [str(found) for found in findings] == ["sam/data.yaml AWS::KMS::Key.Key: Ensure something"]
    assert count == 0


def test_what_has_a_reason_is_none() -> None:
    assert explained([failed()], [skip()]) == ([], 1)


@pytest.mark.parametrize("other", [skip(check="CKV_AWS_2"), skip(pattern="sam/task.yaml *")])
def test_a_reason_is_for_its_check_and_its_resources_only(other: dict[str, Any]) -> None:
    findings, count = explained([failed()], [other])
    assert count == 0
    assert len(findings) == 2  # what was found, and the reason for nothing


def test_a_reason_that_says_nothing_is_none() -> None:
    findings, _ = explained([failed()], [skip(because="ok")])
    assert [found.what for found in findings] == ["CKV_AWS_1 is skipped without a reason"]


def test_what_is_missing_says_how_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="make venv-aws makes it"):
        require((tmp_path / "cfn-lint", "make venv-aws"))


def test_the_command_says_what_is_missing_and_gives_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tests.aws.__main__.ROOT", tmp_path)
    assert main([]) == 2
    assert "make package makes it" in capsys.readouterr().err


def test_a_tool_gets_no_credentials_of_who_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "abc")
    assert "AWS_SECRET_ACCESS_KEY" not in tools.run_tool(["env"]).stdout


def test_an_edit_names_the_items_of_a_list() -> None:
    document = {"Behaviours": [{"PathPattern": "/api/*", "Compress": False}, {"PathPattern": "/x"}], "Ids": ["a", "b"]}
    Edit("", "Behaviours[/api/*]/Compress", True).apply(document)
    Edit("", "Behaviours[/x]").apply(document)
    Edit("", "Ids", minus="a").apply(document)
    Edit("", "Ids", plus="c").apply(document)
    Edit("", "New", 1).apply(document)
    assert document == {"Behaviours": [{"PathPattern": "/api/*", "Compress": True}], "Ids": ["b", "c"], "New": 1}


@pytest.mark.parametrize("path", ["Nothing/Compress", "Behaviours[/y]/Compress", "Gone"])
def test_an_edit_of_what_is_not_there_fails(path: str) -> None:
    with pytest.raises(LookupError):
        Edit("", path).apply({"Behaviours": [{"PathPattern": "/x"}]})
