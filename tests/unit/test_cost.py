"""What `docs/cost.md` says adds up: quantity times price, the sums, and the shapes that the templates have."""

from __future__ import annotations

import math
import re
from decimal import ROUND_HALF_UP, Decimal

import pytest

from tests.unit.test_docs import ROOT, section

COST = (ROOT / "docs" / "cost.md").read_text()
TEMPLATE = (ROOT / "template.yaml").read_text()
CENT = Decimal("0.01")


def cells(text: str) -> list[list[str]]:
    """The rows of the tables of a text, without heads and rules."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return [row for row in rows if row[0] not in ("Part", "Price", "Environment")]


def number(text: str) -> Decimal:
    return Decimal(text.strip("* ").replace(",", ""))


def quantity(text: str) -> Decimal:
    return math.prod((number(factor) for factor in text.split("\N{MULTIPLICATION SIGN}")), start=Decimal(1))


PRICES = {row[0]: number(row[1]) for row in cells(section(COST, "Unit prices"))}


@pytest.mark.parametrize("environment", ["prod", "dev"])
def test_every_line_is_quantity_times_price_and_the_lines_make_the_sum(environment: str) -> None:
    *lines, last = cells(section(COST, environment))
    wrong = [
        part
        for part, amount, price, month in lines
        if (quantity(amount) * PRICES[price]).quantize(CENT, ROUND_HALF_UP) != number(month)
    ]
    assert wrong == []
    assert last[0] == "**All**"
    assert sum(number(row[3]) for row in lines) == number(last[3])


def test_the_summary_has_the_sums() -> None:
    summary = {row[0]: number(row[1]) for row in cells(COST[: COST.index("\n## ")])}
    sums = {one: number(cells(section(COST, one))[-1][3]).quantize(Decimal(1), ROUND_HALF_UP) for one in summary}
    assert summary == sums
    assert summary.keys() == {"prod", "dev"}


def test_every_price_is_used_and_has_a_page_and_a_date() -> None:
    used = {row[2] for one in ("prod", "dev") for row in cells(section(COST, one))[:-1]}
    assert PRICES.keys() == used
    assert all("https://aws.amazon.com/" in row[3] for row in cells(section(COST, "Unit prices")))
    assert re.search(r"\b20\d\d-\d\d\b", section(COST, "Unit prices"))


def test_prod_is_counted_in_the_shapes_that_are_the_defaults_of_the_template() -> None:
    def default(parameter: str) -> str:
        found = re.search(rf"\n  {parameter}:\n(?:    .*\n)*?    Default: (\S+)", TEMPLATE)
        assert found, parameter
        return found[1]

    prod = section(COST, "prod")
    for shape in ("DatabaseInstanceClass", "CacheNodeType"):
        assert default(shape) in prod
    lines = {row[0]: quantity(row[1]) for row in cells(prod)[:-1]}
    tasks, hours = Decimal(default("MinTasks")), Decimal(730)
    assert lines["API tasks, processor"] == tasks * Decimal(default("TaskCpu")) / 1024 * hours
    assert lines["API tasks, memory"] == tasks * Decimal(default("TaskMemory")) / 1024 * hours
    assert lines["Redis"] == Decimal(default("CacheNodeCount")) * hours
