"""What must follow the operations app by hand: its template, and the page that names its metrics."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from pathlib import Path

from scoreboard.queries import MIGRATIONS, sql

ROOT = Path(__file__).resolve().parents[2]
MERGE = ROOT / "chalice_app" / "merge.yaml"


def test_the_stack_migrates_whenever_migrations_or_grants_have_changed() -> None:
    files = sorted((file for file in MIGRATIONS.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    texts = [*(f"{file.name}\0{file.read_text()}" for file in files), sql("role_grants")]
    expected = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
    (written,) = re.findall(r'^ +Schema: "?([^"\n]*)"?$', MERGE.read_text(), re.MULTILINE)
    assert written == expected, f"write `Schema: {expected}` into {MERGE.name}"


def test_the_name_of_the_submission_edge_leads_to_its_stage() -> None:
    (stage,) = json.loads((ROOT / "chalice_app" / ".chalice" / "config.json").read_text())["stages"]
    assert re.findall(r"^ +Stage: (.+)$", (ROOT / "sam" / "failover.yaml").read_text(), re.MULTILINE) == [stage]


def test_every_metric_of_the_operations_app_is_documented() -> None:
    tree = ast.parse((ROOT / "chalice_app" / "app.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = {
        keyword.arg
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "measure"
        for keyword in call.keywords
        if keyword.arg
    }
    named |= {
        key.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Dict)
        and ast.unparse(node.targets[0]) == "figures"
        for key in node.value.keys
        if isinstance(key, ast.Constant)
    }
    text = (ROOT / "docs" / "operations.md").read_text()
    assert len(named) > 4
    assert {name for name in named if f"`{name}`" not in text} == set()
