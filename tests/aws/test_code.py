"""The reader of the code: that it sees what programs need, and that it has not gone blind."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.aws import code
from tests.aws.code import OPERATIONS, modules, reach
from tests.aws.documents import ROOT
from tests.aws.programs import API, routes
from tests.aws.reads import needs

WORKER = "workers.score_events:handler"


def operations() -> list[str]:
    """The functions of the operations app that answer no request."""
    found = modules()[OPERATIONS].definitions.values()
    functions = [node for node in found if isinstance(node, ast.FunctionDef) and node.decorator_list]
    return [node.name for node in functions if node.name not in routes()]


def test_the_worker_needs_both_stores_and_its_queue_but_no_key_of_tokens() -> None:
    found = needs(WORKER)
    assert {"DATABASE_SECRET_ARN", "REDIS_SECRET_ARN", "SQS_QUEUE_URL", "CONFIG_PARAMETER_PATH"} <= found.variables
    assert "JWT_SECRET_ARN" not in found.variables
    assert "DATABASE_OWNER_SECRET_ARN" not in found.variables
    assert ("sqs", "ChangeMessageVisibilityBatch") in found.calls
    assert ("sqs", "SendMessageBatch") not in found.calls
    assert found.uses_powertools


def test_the_api_needs_the_keys_of_tokens_and_where_to_listen() -> None:
    found = needs(*API)
    assert {"JWT_SECRET_ARN", "HOST", "PORT", "DATABASE_POOL_MAX", "TRUSTED_PROXY_HOPS"} <= found.variables
    assert {("sqs", "SendMessageBatch"), ("secretsmanager", "GetSecretValue")} <= found.calls
    assert ("secretsmanager", "PutSecretValue") not in found.calls
    assert not found.uses_powertools


@pytest.mark.parametrize(
    ("function", "variable"),
    [
        ("migrate", "DATABASE_OWNER_SECRET_ARN"),
        ("retention", "EVENT_RETENTION_DAYS"),
        ("dlq_triage", "ALERTS_TOPIC_ARN"),
    ],
)
def test_what_one_function_of_the_operations_app_needs_the_others_do_not(function: str, variable: str) -> None:
    assert variable in needs(f"app:{function}").variables
    assert variable not in needs("app:reconcile").variables


def test_every_function_of_the_operations_app_reads_its_settings() -> None:
    assert len(operations()) >= 8
    assert routes()
    for name in operations():
        assert "CONFIG_PARAMETER_PATH" in needs(f"app:{name}").variables, name


def test_every_call_of_aws_in_the_code_belongs_to_a_program() -> None:
    everything = needs(*(f"{name}:" for name in modules() if name.split(".")[0] in ("scoreboard", "chalicelib"))).calls
    entries = [API, (WORKER,), tuple(f"app:{name}" for name in routes()), *((f"app:{name}",) for name in operations())]
    reached = {call for entry in entries for call in needs(*entry).calls}
    assert everything - reached == set()


def test_an_entry_that_does_not_exist_is_refused() -> None:
    with pytest.raises(AssertionError, match="there is no nothing"):
        reach("workers.score_events:nothing")


def test_annotations_and_code_for_the_type_checker_count_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in code.ROOMS.values():
        (tmp_path / room).mkdir(parents=True)
    (tmp_path / "workers" / "one.py").write_text(
        "from scoreboard.two import Used, Only, helper\n"
        "def handler(event: Only) -> Only:\n"
        "    return Used().run()\n"
        "def other():\n"
        "    return helper()\n"
    )
    (tmp_path / "scoreboard" / "two.py").write_text(
        "class Only:\n    pass\n"
        "class Used:\n"
        "    def run(self):\n        return inner()\n"
        "    def stop(self):\n        return helper()\n"
        "def inner():\n    return 1\n"
        "def helper():\n    return 2\n"
    )
    known = modules(tmp_path)
    monkeypatch.setattr(code, "modules", lambda: known)
    names = {f"{piece.module.name}:{piece.name}" for piece in reach("workers.one:handler")}
    assert names == {
        *("workers.one:", "workers.one:handler", "scoreboard.two:"),
        *("scoreboard.two:Used", "scoreboard.two:Used.run", "scoreboard.two:inner"),
    }


def test_the_image_starts_the_program_that_is_asked() -> None:
    assert '"python", "-m", "api"' in (ROOT / "Dockerfile").read_text()
