"""The documents say what the code says: settings, errors, verbs, metrics, files, links."""

from __future__ import annotations

import argparse
import importlib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from itertools import chain
from pathlib import Path

import pytest

from api.metrics import Metrics
from api.openapi import document
from ops import cli
from scoreboard.config import Settings
from scoreboard.errors import ScoreboardError

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
CONFIGURATION = (DOCS / "configuration.md").read_text()
SETTINGS = {setting.name.upper(): str(setting.metadata["default"]) for setting in fields(Settings)}

_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"""(?:\]\(|src="|srcset=")([^)"\s]+)""")
_ROW = re.compile(r"^\| `([A-Z][A-Z0-9_]+)` \| (?:`([^`]*)`|[^|`]*) \|", re.MULTILINE)
_NAME = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
_FILE = re.compile(r"\b(?:scoreboard|api|workers|ops)/[\w/]+\.(?:py|sql|lua|js)\b")

BOTO3 = {
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_PROFILE",
    "AWS_ENDPOINT_URL_SQS",
}
# Words of ECS and of its load balancers.
AWS_WORDS = {"BLUE_GREEN", "PRE_SCALE_UP", "POST_SCALE_UP", "STICKINESS_TYPE"}
OF_PIPELINE = set(re.findall(r"\bvars\.([A-Z_]+)", (ROOT / ".github" / "workflows" / "pipeline.yaml").read_text()))
SOCKET_OPTIONS = {"SO_SNDBUF", "TCP_USER_TIMEOUT"}
OF_TESTS = set(
    re.findall(r'environ\.get\("([A-Z_]+)"\)', "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py")))
)


def section(text: str, heading: str) -> str:
    """The part of a page below a heading, up to the next of its level."""
    start = text.index(f"\n## {heading}\n")
    end = text.find("\n## ", start + 1)
    return text[start : end if end >= 0 else None]


def rows(text: str) -> dict[str, str]:
    """Name -> default of a table whose first two columns are these; an empty text where the default is in words."""
    return dict(_ROW.findall(text))


DOCUMENTED = rows(section(CONFIGURATION, "Settings"))
LOCAL = rows(section(CONFIGURATION, "On one machine only"))
ABSENT = set(
    re.findall(
        r"^\| `([A-Z_]+)` \|",
        section(CONFIGURATION, "Variables of the deployment guide that do not exist here"),
        re.MULTILINE,
    )
)


def errors() -> set[type[ScoreboardError]]:
    """All classes of the tree, wherever they are defined."""
    for path in chain((ROOT / "scoreboard").glob("*.py"), (ROOT / "api").rglob("*.py")):
        if re.search(r'^    code = "', path.read_text(), re.MULTILINE):
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return set(_with_subclasses(ScoreboardError))


def _with_subclasses(of: type[ScoreboardError]) -> Iterator[type[ScoreboardError]]:
    yield of
    for subclass in of.__subclasses__():
        yield from _with_subclasses(subclass)


def verbs() -> dict[str, argparse.ArgumentParser]:
    """The verbs of the command, as its parser has them."""
    (choice,) = (action for action in cli._parser()._actions if isinstance(action, argparse._SubParsersAction))
    return dict(choice.choices)


def anchor(heading: str) -> str:
    """The fragment under which a heading can be linked to."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def relative(page: Path) -> str:
    return str(page.relative_to(ROOT))


# Settings


def test_every_setting_is_documented_with_its_true_default() -> None:
    assert DOCUMENTED == SETTINGS


def test_the_example_file_has_every_setting_with_its_default_and_nothing_else() -> None:
    lines = re.findall(r"^#([A-Z_0-9]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert len(lines) == len(dict(lines))
    assert dict(lines) == SETTINGS


def test_what_is_said_not_to_exist_does_not_exist() -> None:
    assert ABSENT
    assert not ABSENT & (SETTINGS.keys() | LOCAL.keys())


def test_every_variable_of_the_local_stack_is_documented_and_read_by_it() -> None:
    source = "\n".join(path.read_text() for path in [*(ROOT / "ops").iterdir(), ROOT / "Makefile"] if path.is_file())
    named = set(re.findall(r"\b(?:SCOREBOARD|WORKER)_[A-Z_]+\b", source))
    assert named <= LOCAL.keys() | {"SCOREBOARD_HOME"}
    assert {name for name in LOCAL if name not in source} == set()


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_a_page_names_no_variable_or_code_that_does_not_exist(page: Path) -> None:
    text = page.read_text()
    known = SETTINGS.keys() | LOCAL.keys() | BOTO3 | AWS_WORDS | OF_PIPELINE | SOCKET_OPTIONS | OF_TESTS
    known |= {error.code for error in errors()}
    if page.name == "configuration.md" or page.parent.name == "adr":
        known |= ABSENT
    if page.name == "guide-map.md":  # it repeats what the guide says, in the guide's words
        return
    named = set(_NAME.findall("\n".join([*_CODE.findall(_FENCED.sub("", text)), *_FENCED.findall(text)])))
    assert named - known == set()


# Errors and metrics


def test_every_error_code_is_documented() -> None:
    text = (DOCS / "http-api.md").read_text()
    answered = set(re.findall(r"^\| (\d{3}) \| `([A-Z_]+)` \|", section(text, "Errors"), re.MULTILINE))
    missing = {(str(error.status), error.code) for error in errors()} - answered
    assert {code for _, code in missing} == {"INVALID_EVENT", "CONFIG_ERROR", "MIGRATION_FAILED"}
    assert all(f"`{code}`" in text for _, code in missing)
    assert {code for _, code in answered} <= {error.code for error in errors()}


def test_every_address_and_parameter_of_the_description_is_documented() -> None:
    text = (DOCS / "http-api.md").read_text()
    description = document(Settings.from_env({"JWT_SECRET": "a secret of thirty-two bytes or more"}))
    addresses = {re.sub(r"\{name\}", "…", path) for path in description["paths"]}
    assert {path for path in addresses if not re.search(rf"`(?:GET |POST )?{re.escape(path)}`", text)} == set()
    parameters = {one["name"] for one in description["components"]["parameters"].values() if one["in"] != "path"}
    assert {name for name in parameters if not re.search(rf"`{name}[`:]", text)} == set()


def test_every_metric_is_documented() -> None:
    text = section((DOCS / "operations.md").read_text(), "Metrics")
    described = set(re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE))
    metrics = {
        f"{family.name}_total" if family.type == "counter" else family.name for family in Metrics().registry.collect()
    }
    assert described == metrics


def test_every_metric_of_the_worker_is_documented() -> None:
    text = section((DOCS / "operations.md").read_text(), "Metrics")
    named = set(re.findall(r'(?<=name=")\w+|(?<=")events_\w+', (ROOT / "workers" / "score_events.py").read_text()))
    assert len(named) > 4
    assert {name for name in named if f"`{name}`" not in text} == set()


# Verbs


def test_every_verb_has_a_runbook_and_every_runbook_a_verb() -> None:
    assert {page.stem for page in (DOCS / "runbooks").glob("*.md")} == set(verbs())


@pytest.mark.parametrize("verb", verbs())
def test_a_runbook_has_every_option_of_its_verb_and_no_other(verb: str) -> None:
    text = (DOCS / "runbooks" / f"{verb}.md").read_text()
    calls = [line for line in text.splitlines() if f"scoreboard {verb}" in line or line.startswith("| `--")]
    code = " ".join([*_CODE.findall(_FENCED.sub("", text)), *calls])
    options = {option for option in verbs()[verb]._option_string_actions if option.startswith("--")} - {"--help"}
    assert options <= set(re.findall(r"--[a-z][a-z-]*", code))
    for line in calls:
        own = line.partition("|")[0] if not line.startswith("|") else line
        assert set(re.findall(r"--[a-z][a-z-]*", own)) <= options


# Files and links


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    broken = []
    for target in _LINK.findall(_FENCED.sub("", page.read_text())):
        if re.match(r"https?://", target):
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (fragment and fragment not in _anchors(file)):
            broken.append(target)
    assert broken == []


def _anchors(file: Path) -> set[str]:
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", _FENCED.sub("", file.read_text()), re.MULTILINE)}


def test_every_file_of_the_picture_exists_and_stands_in_the_table_below_it() -> None:
    picture = set(_FILE.findall((DOCS / "images" / "way-of-a-score.svg").read_text()))
    table = set(_FILE.findall(section((ROOT / "README.md").read_text(), "The way of one score")))
    assert {name for name in picture | table if not (ROOT / name).exists()} == set()
    assert picture <= table
    assert "scoreboard/sql/apply_events.sql" in picture


def test_every_page_stands_in_the_index() -> None:
    linked = {target.partition("#")[0] for target in _LINK.findall((DOCS / "README.md").read_text())}
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - {"README.md"}
    assert pages - linked == set()


def test_decisions_are_numbered_without_gaps_and_have_the_same_parts() -> None:
    pages = sorted((DOCS / "adr").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text()
        assert text.startswith(f"# {int(page.name[:4])}. ")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Evidence", "Consequences"]


def test_the_changelog_begins_with_the_version_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == project["version"] == SETTINGS["APP_VERSION"]
