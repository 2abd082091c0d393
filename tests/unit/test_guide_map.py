"""Every heading and every row of the customer's deployment guide stands in `docs/guide-map.md`, with a place for it.

`guide_outline.txt` is the guide without its explanations: its headings, and below each what it lists, sets or runs.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.test_docs import ABSENT, ROOT, SETTINGS, verbs

OUTLINE = Path(__file__).with_name("guide_outline.txt").read_text().splitlines()
MAP = (ROOT / "docs" / "guide-map.md").read_text()

_CELLS = re.compile(r"(?<!\\)\|")
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PATH = re.compile(r"^(?:sam|docs|api|ops|workers|scoreboard|chalice_app|tests|requirements|\.github)/[\w./-]*$")
_OF_TEMPLATE = re.compile(r"\]\(\.\./([\w/-]+\.yaml)\)((?:,? `[A-Za-z][A-Za-z0-9]*`)+)")
_MAKE = re.compile(r"`(?:[A-Z_]+=\S+ )*make ([a-zA-Z-]+)")
_VERB = re.compile(r"`(?:\.venv/bin/)?scoreboard ([a-z]+)")


def rows() -> list[list[str]]:
    """The cells of every row below a table's head."""
    tables = [line for line in MAP.splitlines() if line.startswith("| ") and not line.startswith("| The guide")]
    return [[cell.strip() for cell in _CELLS.split(line)[1:-1]] for line in tables]


def plain(cell: str) -> str:
    """The text of a cell without its marks."""
    return re.sub(r"\*\*|`", "", cell).replace("\\|", "|").replace("\\<", "<").strip()


def names_in(template: str) -> set[str]:
    """The parameters, conditions, resources and outputs of a template."""
    return set(re.findall(r"^  ([A-Za-z][A-Za-z0-9]*):", (ROOT / template).read_text(), re.MULTILINE))


def test_the_outline_is_that_of_the_whole_guide() -> None:
    headings = [line for line in OUTLINE if line.startswith("#")]
    assert len(headings) == 81
    assert len(OUTLINE) - len(headings) == 277
    assert [line[3:] for line in headings if line.startswith("## ")][1:-1] == OUTLINE[2:10]


def test_every_heading_and_every_row_of_the_guide_is_mapped_in_its_order() -> None:
    outline = [re.sub(r"^#+ ", "", line).replace("`", "") for line in OUTLINE]
    assert [plain(row[0]) for row in rows()] == outline


def test_headings_are_bold_and_nothing_else_is() -> None:
    bold = [plain(row[0]) for row in rows() if row[0].startswith("**")]
    assert bold == [re.sub(r"^#+ ", "", line).replace("`", "") for line in OUTLINE if line.startswith("#")]


def test_no_cell_is_empty() -> None:
    short = [row for row in rows() if len(row) != 3 or any(len(re.sub(r"\W", "", plain(cell))) < 2 for cell in row)]
    assert short == []


def test_every_place_is_one_that_exists() -> None:
    text = "\n".join(cell for row in rows() for cell in row[1:])
    links = {target.partition("#")[0] for target in _LINK.findall(text) if "://" not in target}
    paths = {span for span in _SPAN.findall(text) if _PATH.match(span)}
    missing = {link for link in links if link and not (ROOT / "docs" / link).exists()}
    assert missing | {path for path in paths if not (ROOT / path).exists()} == set()


def test_every_resource_that_is_named_stands_in_its_template() -> None:
    named = {
        (template, name)
        for row in rows()
        for template, names in _OF_TEMPLATE.findall(" ".join(row[1:]))
        for name in _SPAN.findall(names)
    }
    assert len(named) > 50
    assert {f"{template} {name}" for template, name in named if name not in names_in(template)} == set()


def test_every_command_of_ours_that_is_named_exists() -> None:
    text = "\n".join(cell for row in rows() for cell in row[1:])
    targets = set(re.findall(r"^([a-zA-Z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(_MAKE.findall(text)) - targets == set()
    assert set(_VERB.findall(text)) - set(verbs()) == set()


def test_every_variable_of_the_guide_is_a_setting_or_said_to_be_absent() -> None:
    of_guide = {name for line in OUTLINE if re.match(r"[A-Z_]+(, [A-Z_]+)+$", line) for name in line.split(", ")}
    assert len(of_guide) > 40
    assert of_guide - SETTINGS.keys() - ABSENT == set()
