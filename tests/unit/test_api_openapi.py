"""The description of the API is valid, and describes exactly what there is."""

from __future__ import annotations

import re

import pytest
from openapi_spec_validator import validate

from api.openapi import document, error_codes
from scoreboard import errors
from tests.support.api_fakes import FakeApi, api_settings

DOCUMENT = document(api_settings())


def test_the_description_is_valid_openapi() -> None:
    validate(DOCUMENT)


def test_every_route_is_described_and_nothing_else() -> None:
    app = FakeApi(api_settings()).build()
    routes = {
        (re.sub(r"<([^>]+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert described == routes


@pytest.mark.parametrize(
    "kind",
    [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ScoreboardError)],
)
def test_every_error_of_the_tree_that_a_client_can_meet_is_listed(kind: type[errors.ScoreboardError]) -> None:
    assert (kind.code in error_codes()) == (kind not in (errors.ConfigError, errors.InvalidEvent))


def test_every_path_parameter_is_declared() -> None:
    declared = DOCUMENT["components"]["parameters"]
    for path, methods in DOCUMENT["paths"].items():
        for operation in methods.values():
            names = [reference["$ref"].rsplit("/", 1)[1] for reference in operation.get("parameters", ())]
            in_path = {declared[name]["name"] for name in names if declared[name]["in"] == "path"}
            assert in_path == set(re.findall(r"\{(\w+)\}", path))
