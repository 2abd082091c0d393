"""Reading requests: strict JSON, and whose address is believed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quart import Request
from quart.testing import make_test_headers_path_and_query_string, make_test_scope
from werkzeug.datastructures import Headers

from api.requests import client_address
from scoreboard.answers import retry_after
from scoreboard.errors import DuplicateKey, InvalidField, InvalidJson, PayloadTooLarge, ScoreboardError, UnknownField
from scoreboard.submissions import check_fields, integer_field, parse_object
from tests.support.api_fakes import FakeApi, api_settings

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
OBJECTS = st.dictionaries(
    st.text(), st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)


@given(OBJECTS)
def test_every_object_is_read_as_it_was_written(value: dict[str, object]) -> None:
    body = json.dumps(value).encode()
    if len(body) <= 4096:
        assert parse_object(body) == value


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_be_read_or_refused(body: bytes) -> None:
    try:
        assert isinstance(parse_object(body), dict)
    except ScoreboardError as error:
        assert error.status in (400, 413)  # noqa: PT017 - both ends are right


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"delta":1,}',
        b'{"delta":NaN}',
        b'{"delta":Infinity}',
        b'{"delta":-Infinity}',
        b"{'delta':1}",
        b'{"delta":"\xff"}',
        b'\xef\xbb\xbf{"delta":1}',
        b'{"delta":1}{"delta":2}',
        b"[" * 4000,
        b'{"a":' * 800,
        '{"delta":1}'.encode("utf-16"),
    ],
)
def test_what_is_not_one_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidJson):
        parse_object(body)


@pytest.mark.parametrize("body", [b'{"delta":1,"delta":1}', b'{"delta":1,"x":{"y":1,"y":2}}', b'{"a":1,"\\u0061":2}'])
def test_a_repeated_key_is_refused_at_any_depth(body: bytes) -> None:
    with pytest.raises(DuplicateKey):
        parse_object(body)


def test_the_largest_body_is_4_kib() -> None:
    assert parse_object(b'{"delta":1}'.ljust(4096)) == {"delta": 1}
    with pytest.raises(PayloadTooLarge):
        parse_object(b'{"delta":1}'.ljust(4097))


@pytest.mark.parametrize("value", [True, 1.0, 1.5, "5", None, [], {}])
def test_only_a_whole_number_is_a_whole_number(value: object) -> None:
    with pytest.raises(InvalidField):
        integer_field({"delta": value}, "delta")


def test_a_field_that_is_not_known_is_named() -> None:
    with pytest.raises(UnknownField, match="bonus"):
        check_fields({"delta": 1, "bonus": 2}, ("delta", "board"))


@pytest.mark.parametrize(
    ("forwarded", "hops", "expected"),
    [
        ([], 0, "10.0.0.1"),
        (["6.6.6.6"], 0, "10.0.0.1"),
        (["6.6.6.6, 7.7.7.7"], 1, "7.7.7.7"),
        (["6.6.6.6", "7.7.7.7"], 1, "7.7.7.7"),
        (["6.6.6.6, 7.7.7.7, 8.8.8.8"], 2, "7.7.7.7"),
        (["7.7.7.7"], 2, "10.0.0.1"),
        ([" , ,"], 1, "10.0.0.1"),
        ([], 1, "10.0.0.1"),
    ],
)
async def test_only_what_trusted_proxies_have_written_is_believed(
    forwarded: list[str], hops: int, expected: str
) -> None:
    app = FakeApi(api_settings()).build()
    headers, path, query = make_test_headers_path_and_query_string(app, "/")
    headers = Headers([("X-Forwarded-For", value) for value in forwarded])
    scope = make_test_scope("http", path, "GET", headers, query, "http", "", "1.1", {"client": ("10.0.0.1", 5000)})

    async def no_push(path: str, headers: Headers) -> None:
        pass

    request = Request("GET", "http", path, query, headers, "", "1.1", scope=scope, send_push_promise=no_push)  # type: ignore[arg-type]
    assert client_address(request, hops) == expected


@pytest.mark.parametrize(("seconds", "header"), [(0, 1), (0.2, 1), (1, 1), (1.01, 2), (59.2, 60)])
def test_waiting_as_long_as_told_is_long_enough(seconds: float, header: int) -> None:
    assert retry_after(seconds) == header
