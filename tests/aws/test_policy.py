"""What is demanded of the templates, for every profile and for other ways through their conditions."""

from __future__ import annotations

from functools import cache

import pytest

import tests.aws.checks
from tests.aws.findings import CHECKS, applies
from tests.aws.generated import project
from tests.aws.model import Model, resolve
from tests.aws.profiles import ALL, Profile

assert tests.aws.checks.__all__


@cache
def model_of(profile_name: str) -> Model:
    return resolve(project(), next(profile for profile in ALL if profile.name == profile_name))


@pytest.mark.parametrize(
    ("sentence", "profile"),
    [(sentence, profile.name) for sentence in CHECKS for profile in ALL if applies(sentence, profile.name)],
)
def test_that(sentence: str, profile: str) -> None:
    found = sorted(map(str, CHECKS[sentence](model_of(profile))))
    assert found == []


@pytest.mark.parametrize("profile", ALL, ids=lambda profile: profile.name)
def test_every_profile_deploys_something(profile: Profile) -> None:
    assert len(model_of(profile.name).resources) > 5
