"""What `make deploy` puts together before it calls the SAM CLI."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from ops import deploy, package, sbom, smoke
from ops.deploy import ENVIRONMENTS, Deployment
from ops.terminal import WrongUse

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "registry.example/scoreboard-api:2f1c"


def planned(environment: str = "staging", **variables: str) -> Deployment:
    return Deployment.planned(environment, {"IMAGE": IMAGE, **variables})


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_it_takes_what_samconfig_has_and_adds_the_image(environment: str) -> None:
    deployment = planned(environment)

    assert deployment.stack == f"scoreboard-{environment}"
    assert deployment.parameters["EnvironmentName"] == environment
    assert deployment.parameters["ImageUri"] == IMAGE
    assert f"ImageUri={IMAGE}" in deployment.overrides


def test_what_is_given_comes_before_samconfig() -> None:
    deployment = planned(VERSION="1.2.3", PARAMETERS="MaxTasks=9 DomainName=scoreboard.example.com")

    assert deployment.parameters["MaxTasks"] == "9"
    assert deployment.parameters["DomainName"] == "scoreboard.example.com"
    assert deployment.parameters["AppVersion"] == "1.2.3"
    assert deployment.parameters["WorkerConcurrency"] == "4", "samconfig's"


def test_every_parameter_is_one_of_the_root_template() -> None:
    known = set(re.findall(r"^  (\w+):$", (ROOT / "template.yaml").read_text().partition("\nRules:")[0], re.MULTILINE))
    for environment in ENVIRONMENTS:
        assert set(planned(environment, VERSION="1").parameters) <= known


def test_packages_are_built_for_what_the_template_will_ask_for() -> None:
    assert planned().build_environ == {"LAMBDA_ARCH": "arm64", "LAMBDA_PYTHON": "3.13"}
    other = planned(PARAMETERS="Architecture=x86_64 FunctionRuntime=python3.12")
    assert other.build_environ == {"LAMBDA_ARCH": "x86_64", "LAMBDA_PYTHON": "3.12"}


def test_bucket_role_and_region_are_options_and_only_a_pipeline_is_not_asked() -> None:
    assert planned("prod").options == ()
    deployment = planned("prod", REGION="us-west-2", BUCKET="packages", ROLE="arn:aws:iam::123456789012:role/x", CI="1")

    assert deployment.region == "us-west-2"
    assert deployment.options == (
        *("--region", "us-west-2", "--s3-bucket", "packages", "--role-arn", "arn:aws:iam::123456789012:role/x"),
        "--no-confirm-changeset",
    )
    assert planned(OPTIONS="--disable-rollback").options == ("--disable-rollback",)


@pytest.mark.parametrize(
    ("environment", "variables", "sentence"),
    [
        ("qa", {}, "ENV is 'qa': it must be one of dev, staging, prod"),
        ("local", {}, "ENV is 'local'"),
        ("prod", {"IMAGE": " "}, "IMAGE is not set"),
        ("prod", {"PARAMETERS": "MaxTasks 9"}, "PARAMETERS has 'MaxTasks': it must be Name=value"),
    ],
)
def test_a_wrong_call_is_refused_with_a_sentence(environment: str, variables: dict[str, str], sentence: str) -> None:
    with pytest.raises(WrongUse, match=re.escape(sentence)):
        planned(environment, **variables)


MAINS: dict[str, Callable[[list[str]], int]] = {
    "deploy": deploy.main,
    "package": package.main,
    "sbom": sbom.main,
    "smoke": smoke.main,
}


@pytest.mark.parametrize("program", MAINS)
@pytest.mark.parametrize("word", ["-h", "--help"])
def test_each_program_says_what_it_does_when_it_is_asked(
    program: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert MAINS[program]([word]) == 0
    assert f"`python -m ops.{program} " in capsys.readouterr().out


@pytest.mark.parametrize("program", MAINS)
def test_each_program_refuses_a_call_without_arguments(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert MAINS[program]([]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"usage: python -m ops.{program} ")
    assert said.out == ""


@pytest.mark.parametrize(
    ("program", "name", "arguments"), [(deploy, "SAM", ["dev"]), (sbom, "TOOL", ["nowhere/at/all"])]
)
def test_a_tool_that_is_missing_is_named_with_what_makes_it(
    program: ModuleType,
    name: str,
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IMAGE", IMAGE)
    monkeypatch.setattr(program, name, ROOT / ".venv-nowhere" / "tool")
    assert program.main(arguments) == 2
    assert re.search(r"\.venv-nowhere/tool is missing: make venv-\w+ makes it", capsys.readouterr().err)


def test_the_pipeline_gives_the_variables_that_it_reads() -> None:
    pipeline = yaml.safe_load((ROOT / ".github" / "workflows" / "pipeline.yaml").read_text())
    source = (ROOT / "ops" / "deploy.py").read_text()
    for environment in ("staging", "prod"):
        given = next(step["env"] for step in pipeline["jobs"][f"deploy-{environment}"]["steps"] if "run" in step)
        assert [name for name in given if f'"{name}"' not in source] == []
