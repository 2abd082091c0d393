"""The pages on AWS name commands, outputs, parameters and figures that exist."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

import boto3
import jmespath
import pytest
from botocore import xform_name

from tests.unit.test_docs import DOCS, ROOT, section

PAGES = ("deploy.md", "runbooks-aws.md")
OF_THE_CLI = {"query", "output", "region", "cli-binary-format"}
NO_OPERATION = {("ecr", "get-login-password"), ("logs", "tail"), ("s3", "rb")}

_CODE = re.compile(r"^ *```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`(aws [^`]+)`")
_INNER = re.compile(r"\$\(((?:[^()$]|\$(?!\()|\([^()]*\))*)\)")
_COMMAND = re.compile(r"\baws ([a-z0-9]+) ([a-z-]+)((?:[^|;&]|\n)*)")


def code(page: str) -> str:
    text = (DOCS / page).read_text()
    return "\n".join([*_CODE.findall(text), *(span.replace("\n", " ") for span in _SPAN.findall(text))])


def names_in(template: str, part: str) -> set[str]:
    """The parameters or outputs of a template."""
    text = (ROOT / template).read_text()
    start = text.index(f"\n{part}:\n")
    following = re.search(r"\n[A-Z]\w+:\n", text[start + 1 :])
    return set(
        re.findall(
            r"^  ([A-Za-z]\w*):", text[start : start + 1 + following.start() if following else None], re.MULTILINE
        )
    )


def commands(text: str) -> Iterator[tuple[str, str, set[str]]]:
    """Service, operation and options of each call of the AWS CLI; calls within calls first."""
    text = re.sub(r" *\\\n *", " ", text)
    while inner := _INNER.search(text):
        yield from commands(inner[1])
        text = text[: inner.start()] + "VALUE" + text[inner.end() :]
    for line in text.splitlines():
        for service, operation, rest in _COMMAND.findall(line):
            yield service, operation, set(re.findall(r"(?<=\s)--([a-z0-9-]+)", rest))


def options_of(service: str, operation: str) -> set[str]:
    """The options of a call, from the model that the AWS CLI has them from."""
    client = boto3.client(service, region_name="us-east-1")
    method = operation.replace("-", "_")
    shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method]).input_shape
    names = {xform_name(member, "-") for member in shape.members} if shape else set()
    return names | {f"no-{name}" for name in names} | OF_THE_CLI


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_aws_cli_exists_with_its_options(page: str) -> None:
    called = list(commands(code(page)))
    wrong = []
    for service, operation, options in called:
        if (service, operation) in NO_OPERATION or operation == "wait":
            continue
        try:
            unknown = options - options_of(service, operation)
        except Exception as problem:
            wrong.append(f"{service} {operation}: {problem!r}")
            continue
        wrong += [f"{service} {operation} --{option}" for option in sorted(unknown)]
    assert wrong == []
    assert len(called) > 15


@pytest.mark.parametrize("page", PAGES)
def test_every_query_of_a_command_can_be_read(page: str) -> None:
    queries = [text for _, text in re.findall(r"""--query (['"])(.+?)\1""", code(page))]
    assert len(queries) > 3
    for text in queries:
        jmespath.compile(text)


def test_every_saved_query_that_is_named_is_one_of_its_template() -> None:
    saved = set(re.findall(r"scoreboard/\$\{EnvironmentName\}/(\S+)", (ROOT / "sam" / "queries.yaml").read_text()))
    named = set(re.findall(r"`scoreboard/\$E/(\S+?)`", (DOCS / "runbooks-aws.md").read_text()))
    assert len(named) > 4
    assert named - saved == set()


def test_every_alarm_is_in_the_table_of_alarms_and_no_other() -> None:
    templates = "\n".join(path.read_text() for path in (ROOT / "sam").glob("*.yaml"))
    alarms = set(re.findall(r"AlarmName: !Sub \S+\}-(\S+)", templates))
    table = section((DOCS / "runbooks-aws.md").read_text(), "Alarms")
    listed = [
        name for row in re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE) for name in re.findall(r"`(\S+)`", row)
    ]
    assert sorted(listed) == sorted(alarms)


@pytest.mark.parametrize("page", PAGES)
def test_every_output_that_is_asked_for_is_one_of_its_stack(page: str) -> None:
    asked = set(re.findall(r"output scoreboard-(\S+) ([A-Z]\w+)", code(page)))
    assert len(asked) > 2
    outputs = {
        stack: names_in("sam/bootstrap.yaml" if stack == "bootstrap" else "template.yaml", "Outputs")
        for stack, _ in asked
    }
    assert {(stack, name) for stack, name in asked if name not in outputs[stack]} == set()


def test_every_output_of_the_root_stack_is_described() -> None:
    described = set(
        re.findall(
            r"`([A-Z]\w+)`", section((DOCS / "deploy.md").read_text(), "From an empty account to the first score")
        )
    )
    assert names_in("template.yaml", "Outputs") - described == set()


@pytest.mark.parametrize("page", PAGES)
def test_every_parameter_that_is_given_exists(page: str) -> None:
    known = names_in("template.yaml", "Parameters") | names_in("sam/bootstrap.yaml", "Parameters")
    given = set(re.findall(r"(?<![\w-])([A-Z][a-z]\w+)=[\w$]", (DOCS / page).read_text())) - {
        "Name",
        "Values",
        "Field",
        "Key",
    }
    given = {name for name in given if name not in ("HttpHeaderName", "HttpHeaderConfig", "Value")}
    assert len(given) > 3
    assert given - known == set()


def test_the_parts_that_a_rehearsal_leaves_out_are_those_of_its_list() -> None:
    limits = tomllib.loads((ROOT / "tests" / "rehearsal" / "limits.toml").read_text())
    rows = [f"| `{name}` | {reason} |" for name, reason in sorted(limits["types"].items())]
    rows += [f"| {name} | {reason} |" for name, reason in limits["features"].items()]
    shown = section((DOCS / "deploy.md").read_text(), "What cannot be rehearsed")
    assert [line for line in shown.splitlines() if line.startswith("| ")] == ["| Part | Why |", *rows]


def test_the_budget_of_connections_is_that_of_the_templates() -> None:
    decision = (DOCS / "adr" / "0021-connection-budget.md").read_text()
    budget = [
        [cell.strip() for cell in line.split("|")[2:-1]]
        for line in section(decision, "Decision").splitlines()
        if line.startswith("| ")
    ]
    api, worker, submissions, others, total = [
        [int(n) for n in re.findall(r"\d+", " ".join(row))] for row in budget[1:]
    ]
    root, task, database = (
        (ROOT / name).read_text() for name in ("template.yaml", "sam/task.yaml", "sam/database.yaml")
    )

    def figure(pattern: str, text: str) -> int:
        found = re.search(pattern, text)
        assert found, pattern
        return int(found[1])

    assert api == [
        2,
        figure(r"\n  MaxTasks:\n(?:    .*\n)*?    Default: (\d+)", root),
        figure(r"DATABASE_POOL_MAX\n +Value: \"?(\d+)", task),
        1,
        120,
    ]
    assert worker[0] == figure(r"\n  WorkerConcurrency:\n(?:    .*\n)*?    Default: (\d+)", root)
    reserved = re.findall(r"ReservesConcurrency, (\d+)", (ROOT / "chalice_app" / "merge.yaml").read_text())
    assert submissions[0] == max(map(int, reserved))
    assert api[-1] + worker[-1] + submissions[-1] + others[-1] == total[-1]
    alarm = figure(r"More than (\d+) of 200 connections", (ROOT / "sam" / "alarms-database.yaml").read_text())
    assert total[-1] < alarm < figure(r'max_connections: "(\d+)"', database)


PICTURES = re.findall(
    r"^### ([^\n]+)\n\n```mermaid\n(.*?)^```$",
    section((DOCS / "architecture.md").read_text(), "On AWS"),
    re.MULTILINE | re.DOTALL,
)


@pytest.mark.parametrize(("heading", "picture"), PICTURES, ids=[heading.split(":")[0] for heading, _ in PICTURES])
def test_a_picture_names_what_its_templates_have(heading: str, picture: str) -> None:
    templates = re.findall(r"\]\(\.\./(\S+?\.yaml)\)", heading)
    known = set().union(*(names_in(template, "Resources") for template in templates))
    named = set(re.findall(r"\b[A-Z]\w+\b", re.sub(r'"[^"]*"|\|[^|]*\|', "", picture))) - {"LR"}
    # Chalice writes this one by itself, from the routes and schedules of the app.
    assert len(named) > 2
    assert named - known == set()


def test_every_template_has_a_picture() -> None:
    shown = {name for heading, _ in PICTURES for name in re.findall(r"\]\(\.\./(?:sam/)?(\S+?\.yaml)\)", heading)}
    assert {path.name for path in (ROOT / "sam").glob("*.yaml")} - shown == set()
