"""The pipeline: make targets and pinned actions, each job with no more rights than it needs, in the promised order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github" / "workflows"
TEXT = "\n".join(path.read_text() for path in sorted(FOLDER.glob("*.y*ml")))
PIPELINE: dict[Any, Any] = yaml.safe_load((FOLDER / "pipeline.yaml").read_text())
TRIGGERS = PIPELINE[True]  # YAML 1.1 reads `on` as a truth
JOBS: dict[str, dict[str, Any]] = PIPELINE["jobs"]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
OF_DEPLOY = {"IMAGE", "VERSION", "REGION", "BUCKET", "ROLE", "PARAMETERS"}
SIGNS_IN = {"publish", "deploy-staging", "deploy-prod"}
ALL = pytest.mark.parametrize("job", JOBS)


def steps(job: str) -> Iterator[dict[str, Any]]:
    yield from JOBS[job]["steps"]


def commands(job: str) -> list[str]:
    return [step["run"] for step in steps(job) if "run" in step]


def before(job: str) -> set[str]:
    """All jobs that have to be done before one."""
    needs = JOBS[job].get("needs", [])
    direct = {needs} if isinstance(needs, str) else set(needs)
    return direct.union(*map(before, direct))


def test_there_is_one_workflow() -> None:
    assert [path.name for path in FOLDER.iterdir()] == ["pipeline.yaml"]


@ALL
def test_every_step_of_ours_is_a_make_target(job: str) -> None:
    assert commands(job)
    for command in commands(job):
        match = re.fullmatch(r"make ([a-z-]+)(?: ENV=(?:staging|prod))?", command)
        assert match, command
        assert match[1] in TARGETS, command


def test_every_target_that_a_person_would_call_says_what_it_does() -> None:
    called = {command.split()[1] for job in JOBS for command in commands(job)}
    assert called <= set(re.findall(r"^([a-z-]+):[^#\n]*## \S", MAKEFILE, re.MULTILINE))


def test_a_target_makes_every_environment_that_it_uses() -> None:
    def used(room: str) -> set[str]:
        texts = [path.read_text() for path in (ROOT / room).rglob("*.py")]
        return {name for text in texts for name in re.findall(r"\.venv-([a-z]+)", text)}

    for target, room in (("check-aws", "tests/aws"), ("rehearse", "tests/rehearsal")):
        recipe = re.search(rf"^{target}:([^#\n]*)", MAKEFILE, re.MULTILINE)
        assert recipe
        assert {f"venv-{name}" for name in used(room)} <= set(recipe[1].split()), target


def test_every_action_is_pinned_to_a_commit_whose_version_stands_beside_it() -> None:
    used = re.findall(r"uses: (.*)$", TEXT, re.MULTILINE)
    pinned = [re.fullmatch(r"([\w-]+/[\w-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)", line) for line in used]

    assert len(used) > 10
    assert [line for line, match in zip(used, pinned, strict=True) if not match] == []
    assert len({match.groups() for match in pinned if match}) == len({match[1] for match in pinned if match})


@ALL
def test_a_job_may_read_the_clone_and_only_one_that_signs_in_gets_an_identity(job: str) -> None:
    wanted = {"contents": "read"} | ({"id-token": "write"} if job in SIGNS_IN else {})

    assert JOBS[job]["permissions"] == wanted
    assert any("configure-aws-credentials" in step.get("uses", "") for step in steps(job)) == (job in SIGNS_IN)


def test_by_itself_the_workflow_may_nothing_and_no_stranger_starts_it_with_rights() -> None:
    assert PIPELINE["permissions"] == {}
    assert set(TRIGGERS) == {"pull_request", "push"}
    assert TRIGGERS["push"] == {"branches": ["main"]}
    assert "github.event_name == 'push'" in JOBS["publish"]["if"]
    assert "secrets." not in TEXT


@ALL
def test_a_job_has_a_time_limit_and_leaves_no_credentials_in_the_clone(job: str) -> None:
    assert 5 <= JOBS[job]["timeout-minutes"] <= 120
    checkouts = [step for step in steps(job) if step.get("uses", "").startswith("actions/checkout@")]
    assert [step["with"] for step in checkouts] == [{"persist-credentials": False}]


def test_no_expression_is_put_into_a_command() -> None:
    assert [command for job in JOBS for command in commands(job) if "${{" in command] == []


def test_tests_run_on_every_supported_python() -> None:
    supported = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert supported
    wanted = [f"3.{minor}" for minor in range(int(supported[1]), int(supported[2]))]
    assert JOBS["test"]["strategy"]["matrix"]["python"] == wanted


def test_production_comes_after_everything_else_and_an_approval() -> None:
    assert before("publish") == {"check", "test", "check-aws", "build", "rehearse"}
    assert before("deploy-staging") == {"publish"} | before("publish")
    assert before("deploy-prod") == {"smoke-staging", "deploy-staging"} | before("deploy-staging")
    assert before("smoke-prod") == {"deploy-prod"} | before("deploy-prod")
    assert {job: JOBS[job]["environment"] for job in JOBS if "environment" in JOBS[job]} == {
        "deploy-staging": "staging",
        "deploy-prod": "prod",
    }


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_what_is_deployed_is_what_was_published_and_it_is_asked_afterwards(environment: str) -> None:
    job = JOBS[f"deploy-{environment}"]
    (step,) = (step for step in job["steps"] if "run" in step)

    assert step["run"] == f"make deploy ENV={environment}"
    assert set(step["env"]) == OF_DEPLOY
    assert step["env"]["IMAGE"] == "${{ needs.publish.outputs.image }}"
    assert "publish" in job["needs"]
    assert JOBS["publish"]["outputs"]["image"] == JOBS["publish"]["env"]["IMAGE"]
    assert commands(f"smoke-{environment}") == ["make smoke"]


def test_a_deployment_is_never_cut_off_by_a_newer_one() -> None:
    assert PIPELINE["concurrency"]["cancel-in-progress"] == "${{ github.event_name == 'pull_request' }}"
    groups = {JOBS[f"deploy-{one}"]["concurrency"]["group"] for one in ("staging", "prod")}
    assert groups == {"deploy-staging", "deploy-prod"}
    assert not any(JOBS[f"deploy-{one}"]["concurrency"]["cancel-in-progress"] for one in ("staging", "prod"))


def test_check_reads_the_files_of_the_image_and_the_pipeline() -> None:
    recipe = MAKEFILE[MAKEFILE.index("\ncheck:") :].partition("\n\n")[0]
    for tool in ("hadolint Dockerfile", "compose.yaml", ".github/workflows/*.yaml", "zizmor"):
        assert tool in recipe
