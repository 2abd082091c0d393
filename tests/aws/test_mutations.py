"""Faults that are put into the templates are found; each test says by which check."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

import tests.aws.checks
from tests.aws.generated import project
from tests.aws.mutations import LINT, MUTATIONS, Mutation, found_by_policy, said_of

assert tests.aws.checks.__all__
OF_POLICY = [mutation for mutation in MUTATIONS if mutation.finder != LINT]


@cache
def known() -> frozenset[str]:
    return said_of(project())


@pytest.mark.parametrize("mutation", OF_POLICY, ids=lambda mutation: mutation.title)
def test_it_is_found_that(mutation: Mutation, record_property: Callable[[str, object], None]) -> None:
    found = found_by_policy(project(), mutation, known())
    assert found != []
    record_property("found by", ", ".join(sorted({each.check for each in found})))


def test_no_fault_is_there_twice() -> None:
    titles = [mutation.title for mutation in MUTATIONS]
    assert sorted(set(titles)) == sorted(titles)
    assert len(titles) >= 24
