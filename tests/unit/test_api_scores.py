"""Submitting over HTTP: what is accepted, and what each kind of bad input is told."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from quart.typing import TestClientProtocol as Client
from werkzeug.datastructures import Headers

from scoreboard.ports import EventRecord, EventStatus
from tests.support.api_fakes import SECRET, FakeApi, api_settings, token


@pytest.fixture
def fake() -> FakeApi:
    return FakeApi(api_settings())


@pytest.fixture
async def client(fake: FakeApi) -> AsyncIterator[Client]:
    async with fake.build().test_app() as app:
        yield app.test_client()


async def post(client: Client, body: str | bytes = '{"delta":5}', *, bearer: str | None = None, **headers: str) -> Any:
    sent = {"Content-Type": "application/json", "Authorization": f"Bearer {bearer or token()}"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/api/scores", data=body, headers={name: text for name, text in sent.items() if text})


async def problem(response: Any) -> tuple[int, str]:
    """Check the shape of an error; return its status and code."""
    body = await response.get_json()
    assert set(body) == {"error_code", "message", "request_id"}
    assert body["request_id"] == response.headers["X-Request-Id"]
    assert body["message"]
    return response.status_code, body["error_code"]


async def test_a_score_is_accepted_and_queued(client: Client, fake: FakeApi) -> None:
    response = await post(client)
    assert response.status_code == 202
    body = await response.get_json()
    assert body == {"event_id": str(fake.queue.events[0].event_id), "status": "queued"}
    assert response.headers["Location"] == f"/api/scores/{body['event_id']}"
    assert [response.headers[f"RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset")] == ["10", "9", "5"]
    event = fake.queue.events[0]
    assert (event.board_id, event.user_id, event.value, event.submitted_by) == ("global", "ada", 5, "ada")


async def test_a_replay_gets_the_same_answer_for_free(client: Client, fake: FakeApi) -> None:
    first = await post(client, Idempotency_Key="k")
    again = await post(client, Idempotency_Key="k")
    assert await first.get_json() == await again.get_json()
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(fake.queue.events) == 1
    assert again.headers["RateLimit-Remaining"] == "9"


async def test_a_key_with_another_body_is_a_conflict(client: Client) -> None:
    await post(client, Idempotency_Key="k")
    response = await post(client, '{"delta":6}', Idempotency_Key="k")
    assert await problem(response) == (409, "IDEMPOTENCY_KEY_REUSED")


BODIES = {
    "{": (400, "INVALID_JSON"),
    "[]": (400, "INVALID_JSON"),
    '{"delta":NaN}': (400, "INVALID_JSON"),
    '{"delta":1,"delta":2}': (400, "DUPLICATE_KEY"),
    "{}": (400, "INVALID_FIELD"),
    '{"delta":1.5}': (400, "INVALID_FIELD"),
    '{"delta":1e400}': (400, "INVALID_FIELD"),
    '{"delta":"5"}': (400, "INVALID_FIELD"),
    '{"delta":null}': (400, "INVALID_FIELD"),
    '{"delta":true}': (400, "INVALID_FIELD"),
    '{"delta":0}': (422, "DELTA_OUT_OF_RANGE"),
    '{"delta":-1}': (422, "DELTA_OUT_OF_RANGE"),
    '{"delta":1001}': (422, "DELTA_OUT_OF_RANGE"),
    '{"delta":9007199254740992}': (422, "DELTA_OUT_OF_RANGE"),
    '{"delta":' + "9" * 4000 + "}": (422, "DELTA_OUT_OF_RANGE"),
    '{"delta":1,"bonus":1}': (400, "UNKNOWN_FIELD"),
    '{"score":1}': (400, "UNKNOWN_FIELD"),
    '{"delta":1,"board":7}': (400, "INVALID_FIELD"),
    '{"delta":1,"board":"nope"}': (404, "UNKNOWN_BOARD"),
    '{"delta":1,"board":"\\u0000"}': (404, "UNKNOWN_BOARD"),
    '{"delta":1,"user_id":"bob"}': (403, "FORBIDDEN"),
    '{"delta":1,"user_id":null}': (400, "INVALID_FIELD"),
    '{"delta":1,"user_id":"\\ud800"}': (400, "INVALID_FIELD"),
    '{"delta":1,"board":"official"}': (403, "FORBIDDEN"),
    '{"delta":1}'.ljust(4097): (413, "PAYLOAD_TOO_LARGE"),
    '{"delta":1}'.ljust(100_000): (413, "PAYLOAD_TOO_LARGE"),
}


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body[:30])
async def test_a_bad_body_is_told_what_is_wrong(client: Client, fake: FakeApi, body: str) -> None:
    assert await problem(await post(client, body)) == BODIES[body]
    assert not fake.queue.events
    assert not fake.gate.counts


def signed(**claims: object) -> str:
    whole = {"sub": "ada", "iat": 1, "exp": 2_000_000_000, "iss": "scoreboard", "aud": "scoreboard-api"} | claims
    return jwt.encode({name: value for name, value in whole.items() if value is not None}, SECRET, algorithm="HS256")


TOKENS = {
    "": "MISSING_TOKEN",
    "Bearer": "INVALID_TOKEN",
    "Bearer not-a-token": "INVALID_TOKEN",
    "Basic YWRhOmFkYQ==": "INVALID_TOKEN",
    f"Bearer {signed(exp=10)}": "EXPIRED_TOKEN",
    f"Bearer {signed(exp=None)}": "INVALID_TOKEN",
    f"Bearer {signed(sub=None)}": "INVALID_TOKEN",
    f"Bearer {signed(sub='a b')}": "INVALID_TOKEN",
    f"Bearer {signed(aud='another')}": "INVALID_TOKEN",
    f"Bearer {signed(iss='another')}": "INVALID_TOKEN",
    f"Bearer {jwt.encode({'sub': 'ada'}, '', algorithm='none')}": "INVALID_TOKEN",
    f"Bearer {token(secret='another secret that is long enough')}": "INVALID_TOKEN",
    f"Bearer {'W1tb' * 3000}.e30.AAAA": "INVALID_TOKEN",
    "Bearer \xff\xfe.\xe9.\xe9": "INVALID_TOKEN",
}


@pytest.mark.parametrize("header", TOKENS, ids=lambda header: header[:30].encode("ascii", "replace").decode())
async def test_a_bad_token_is_told_apart_from_none_and_from_an_old_one(client: Client, header: str) -> None:
    response = await post(client, Authorization=header)
    assert await problem(response) == (401, TOKENS[header])
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


async def test_two_tokens_are_none_that_counts(client: Client) -> None:
    headers = Headers([("Authorization", f"Bearer {token()}")] * 2 + [("Content-Type", "application/json")])
    response = await client.post("/api/scores", data='{"delta":5}', headers=headers)
    assert await problem(response) == (401, "INVALID_TOKEN")


async def test_two_idempotency_keys_are_refused(client: Client) -> None:
    headers = Headers([("Idempotency-Key", "a"), ("Idempotency-Key", "b"), ("Content-Type", "application/json")])
    headers.add("Authorization", f"Bearer {token()}")
    response = await client.post("/api/scores", data='{"delta":5}', headers=headers)
    assert await problem(response) == (400, "INVALID_IDEMPOTENCY_KEY")


@pytest.mark.parametrize("key", [" ", "k" * 129, "\xe9", "a\tb"])
async def test_an_odd_idempotency_key_is_refused(client: Client, key: str) -> None:
    assert await problem(await post(client, Idempotency_Key=key)) == (400, "INVALID_IDEMPOTENCY_KEY")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": ";;;="},
        {"Content-Encoding": "gzip"},
    ],
    ids=str,
)
async def test_a_body_that_is_not_declared_as_json_is_refused(client: Client, headers: dict[str, str]) -> None:
    sent = {"Content-Type": "application/json", "Authorization": f"Bearer {token()}"} | headers
    response = await client.post("/api/scores", data=b'{"delta":5}', headers={k: v for k, v in sent.items() if v})
    assert await problem(response) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_server_says_whose_score_it_is(client: Client, fake: FakeApi) -> None:
    server = token("game", role="server")
    assert await problem(await post(client, bearer=server)) == (400, "INVALID_FIELD")
    assert (await post(client, '{"delta":5,"user_id":"bob"}', bearer=server)).status_code == 202
    assert (await post(client, '{"delta":5,"user_id":"bob","board":"official"}', bearer=server)).status_code == 202
    assert [(event.user_id, event.submitted_by) for event in fake.queue.events] == [("bob", "game")] * 2


async def test_a_board_of_scores_takes_scores(client: Client, fake: FakeApi) -> None:
    assert (await post(client, '{"score":4711,"board":"race"}')).status_code == 202
    assert await problem(await post(client, '{"delta":1,"board":"race"}')) == (400, "UNKNOWN_FIELD")
    assert fake.queue.events[0].value == 4711


async def test_over_the_limit_the_answer_says_when_to_come_back(client: Client, fake: FakeApi) -> None:
    for _ in range(10):
        assert (await post(client)).status_code == 202
    response = await post(client)
    assert await problem(response) == (429, "RATE_LIMITED")
    assert response.headers["Retry-After"] == "5"
    assert response.headers["RateLimit-Remaining"] == "0"
    assert len(fake.queue.events) == 10


async def test_without_the_limiter_nothing_is_accepted(client: Client, fake: FakeApi) -> None:
    fake.gate.away = True
    response = await post(client)
    assert await problem(response) == (503, "LIMITER_UNAVAILABLE")
    assert int(response.headers["Retry-After"]) >= 1


async def test_without_the_queue_a_retry_with_the_same_key_succeeds_later(client: Client, fake: FakeApi) -> None:
    fake.queue.away = True
    response = await post(client, Idempotency_Key="k")
    assert await problem(response) == (503, "QUEUE_UNAVAILABLE")
    assert int(response.headers["Retry-After"]) >= 1
    fake.queue.away = False
    assert (await post(client, Idempotency_Key="k")).status_code == 202
    assert fake.gate.counts == {"ada": 1}


async def get_event(client: Client, event_id: object, **who: str) -> Any:
    headers = {"Authorization": f"Bearer {token(**who)}"}
    return await client.get(f"/api/scores/{event_id}", headers=headers)


async def test_an_event_is_shown_to_its_submitter_its_user_and_servers_only(client: Client, fake: FakeApi) -> None:
    event_id = uuid.uuid4()
    fake.scores.events[event_id] = EventRecord(event_id, EventStatus.REJECTED, "global", "bob", "game", 5, "too much")
    expected = {"event_id": str(event_id), "status": "rejected", "reason": "too much"}
    for who in ({"user_id": "bob"}, {"user_id": "game"}, {"user_id": "other", "role": "server"}):
        assert await (await get_event(client, event_id, **who)).get_json() == expected
    hidden = await get_event(client, event_id, user_id="ada")
    missing = await get_event(client, uuid.uuid4(), user_id="ada")
    assert await problem(hidden) == await problem(missing) == (404, "UNKNOWN_EVENT")
    assert (await hidden.get_json())["message"] == (await missing.get_json())["message"]


async def test_an_event_that_is_not_applied_yet_is_queued(client: Client) -> None:
    event_id = (await (await post(client)).get_json())["event_id"]
    assert await (await get_event(client, event_id)).get_json() == {"event_id": event_id, "status": "queued"}


@pytest.mark.parametrize("event_id", ["1", "%00", "x" * 36, "{5c0eb0a2-d5f4-4c0e-9f0e-7b1d0f5b3a1}"])
async def test_what_cannot_be_an_event_is_unknown(client: Client, event_id: str) -> None:
    assert await problem(await get_event(client, event_id)) == (404, "UNKNOWN_EVENT")


async def test_asking_for_an_event_needs_a_token(client: Client) -> None:
    assert await problem(await client.get(f"/api/scores/{uuid.uuid4()}")) == (401, "MISSING_TOKEN")


async def test_every_request_gets_a_name_of_our_own(client: Client) -> None:
    response = await post(client, X_Request_Id="forged")
    assert re.fullmatch(r"[0-9a-f]{16}", response.headers["X-Request-Id"])
