"""Reading over HTTP: pages, users, boards, health, files, and the rules that hold for every address."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from quart.typing import TestClientProtocol as Client

from api.blueprints.pages import WEB
from api.services import EXTENSION, Phase
from scoreboard.boards import Board
from tests.support.api_fakes import FakeApi, api_settings


@pytest.fixture
def fake() -> FakeApi:
    return FakeApi(api_settings(CORS_ORIGIN="https://game.example,https://other.example"))


@pytest.fixture
async def client(fake: FakeApi) -> AsyncIterator[Client]:
    async with fake.build().test_app() as app:
        yield app.test_client()


async def code(response: Any) -> str:
    return str((await response.get_json())["error_code"])


async def test_a_page_is_a_snapshot_and_names_its_stream(client: Client) -> None:
    response = await client.get("/api/leaderboard?limit=2")
    page = await response.get_json()
    assert [(entry["rank"], entry["user_id"], entry["score"]) for entry in page["entries"]] == [
        (1, "ada", 30),
        (2, "bob", 20),
    ]
    assert (page["board"], page["epoch"], page["version"], page["total"]) == ("global", "e1", 1, 3)
    assert response.headers["Link"] == '</api/leaderboard/stream?board=global&limit=2>; rel="events"'
    following = await (await client.get(f"/api/leaderboard?limit=2&cursor={page['next']}")).get_json()
    assert [entry["user_id"] for entry in following["entries"]] == ["cy"]
    assert following["next"] is None


async def test_a_page_that_has_not_changed_is_not_sent_again(client: Client, fake: FakeApi) -> None:
    first = await client.get("/api/leaderboard")
    condition = {"If-None-Match": f'"x", {first.headers["ETag"]}'}
    again = await client.get("/api/leaderboard", headers=condition)
    assert (again.status_code, await again.get_data()) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert first.headers["Cache-Control"] == "no-cache"
    assert (await client.get("/api/leaderboard?limit=2", headers=condition)).status_code == 200
    fake.ranks.put("global", [("ada", 31)])
    assert (await client.get("/api/leaderboard", headers=condition)).status_code == 200


async def test_around_and_users_keep_the_ranks_of_the_whole_board(client: Client) -> None:
    around = await (await client.get("/api/leaderboard?around=bob&radius=1")).get_json()
    assert [entry["rank"] for entry in around["entries"]] == [1, 2, 3]
    users = await (await client.get("/api/leaderboard?users=cy,ada,nobody")).get_json()
    assert [(entry["rank"], entry["user_id"]) for entry in users["entries"]] == [(1, "ada"), (3, "cy")]


@pytest.mark.parametrize(
    ("query", "ranks"),
    [
        ("around=u5&limit=1", [5]),
        ("around=u5&limit=2", [4, 5]),
        ("around=u5&limit=3", [4, 5, 6]),
        ("around=u5&limit=4", [3, 4, 5, 6]),
        ("around=u5&limit=100", [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("around=u1&limit=3", [1, 2]),
        ("around=u9&limit=5&radius=50", [5, 6, 7, 8, 9]),
        ("around=u1&limit=3&radius=50", [1, 2, 3]),
        ("around=u5&limit=100&radius=1", [4, 5, 6]),
        ("users=u7,u2,u9&limit=2", [2, 7]),
        ("users=u7,u2&limit=100", [2, 7]),
    ],
)
async def test_a_limit_cuts_what_is_around_a_user_and_some_users(
    client: Client, fake: FakeApi, query: str, ranks: list[int]
) -> None:
    fake.ranks.put("global", [(f"u{number}", 100 - number) for number in range(1, 10)])
    page = await (await client.get(f"/api/leaderboard?{query}")).get_json()
    assert [entry["rank"] for entry in page["entries"]] == ranks
    assert page["total"] == 9


async def test_a_user_has_a_rank_and_a_percentile(client: Client) -> None:
    standing = await (await client.get("/api/leaderboard/users/bob")).get_json()
    assert (standing["rank"], standing["score"], standing["total"], standing["percentile"]) == (2, 20, 3, 66.67)


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=101", "limit=-1", "limit=1.0", "limit=", "limit=%00", "limit=%ff", "limit=1&limit=2"),
        *("limit=" + "9" * 3000, "limit=%D9%A3", "around=", "around=a%20b", "around=bob&radius=0"),
        *(
            "around=bob&radius=51",
            "radius=3",
            "around=bob&limit=0",
            "around=bob&limit=101",
            "around=bob&cursor=x",
            "users=",
            "users=a,,b",
        ),
        *(
            "users=ada&limit=0",
            "users=ada&limit=x",
            "users=ada&radius=3",
            "users=ada&around=bob",
            "board=global&board=race",
        ),
        "users=" + ",".join(f"u{number}" for number in range(101)),
    ],
    ids=lambda query: query[:30],
)
async def test_a_bad_parameter_is_refused(client: Client, query: str) -> None:
    response = await client.get(f"/api/leaderboard?{query}")
    assert (response.status_code, await code(response)) == (400, "INVALID_PARAMETER")


@pytest.mark.parametrize("cursor", ["x", "%C3%A9", "W10", "W1tb" * 500, "bnVsbA"])
async def test_a_cursor_that_nobody_made_is_refused(client: Client, cursor: str) -> None:
    response = await client.get(f"/api/leaderboard?cursor={cursor}")
    assert (response.status_code, await code(response)) == (400, "INVALID_CURSOR")


async def test_an_unknown_parameter_is_ignored(client: Client) -> None:
    assert (await client.get("/api/leaderboard?colour=blue&colour=red")).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/api/leaderboard?board=nope", "/api/leaderboard?board=", "/api/leaderboard?board=%00"),
        *("/api/leaderboard/users/ada?board=nope", "/api/leaderboard/stream?board=nope", "/api/boards/nope"),
        "/api/leaderboard/stream?board=global&board=nope",
    ],
)
async def test_an_unknown_board_is_unknown_everywhere(client: Client, path: str) -> None:
    response = await client.get(path)
    assert (response.status_code, await code(response)) == (404, "UNKNOWN_BOARD")


@pytest.mark.parametrize(
    "path", ["/api/leaderboard?around=nobody", "/api/leaderboard/users/nobody", "/api/leaderboard/users/%00"]
)
async def test_a_user_without_a_score_is_unknown(client: Client, path: str) -> None:
    response = await client.get(path)
    assert (response.status_code, await code(response)) == (404, "UNKNOWN_USER")


async def test_boards_show_their_rules(client: Client) -> None:
    boards = (await (await client.get("/api/boards")).get_json())["boards"]
    assert [board["id"] for board in boards] == ["global", "official", "race"]
    race = await (await client.get("/api/boards/race")).get_json()
    assert race == boards[2]
    assert (race["operator"], race["value_field"], race["max_change"]) == ("best", "score", 10_000)


async def test_without_the_index_the_truth_is_shown(client: Client, fake: FakeApi) -> None:
    fake.ranks.away = True
    page = await (await client.get("/api/leaderboard")).get_json()
    assert (page["epoch"], page["total"]) == ("pg", 3)
    fake.scores.away = True
    response = await client.get("/api/leaderboard?limit=7")
    assert (response.status_code, await code(response)) == (503, "BOARD_UNAVAILABLE")
    assert int(response.headers["Retry-After"]) >= 1


async def test_scores_are_taken_while_the_boards_were_never_read(fake: FakeApi) -> None:
    fake.scores.away = True
    async with fake.build().test_app() as app:
        client = app.test_client()
        assert (await client.get("/api/leaderboard")).status_code == 200
        unknown_yet = await client.get("/api/boards/race")
        assert (unknown_yet.status_code, await code(unknown_yet)) == (503, "BOARD_UNAVAILABLE")
        assert (await client.get("/api/boards/NOT%20ONE")).status_code == 404


async def test_a_new_board_appears_by_itself(client: Client, fake: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = client.app.extensions[EXTENSION].catalog  # type: ignore[attr-defined]
    fake.scores.known.append(Board(board_id="new"))
    assert (await client.get("/api/boards/new")).status_code == 404
    await catalog.load()
    assert (await client.get("/api/boards/new")).status_code == 200


async def test_health_names_the_part_that_is_away_and_stays_200(fake: FakeApi) -> None:
    fake.ranks.away = True
    fake.queue.away = True
    async with fake.build().test_app() as app:
        response = await app.test_client().get("/health")
    assert response.status_code == 200
    health = await response.get_json()
    assert (health["status"], health["db"], health["redis"], health["queue"]) == ("degraded", "up", "down", "down")


async def test_health_asks_the_parts_once_however_many_ask(
    client: Client, fake: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = client.app.extensions[EXTENSION]  # type: ignore[attr-defined]
    asked: list[int] = []

    async def ping() -> bool:
        asked.append(1)
        return True

    monkeypatch.setattr(parts.health, "_pings", {"db": ping})
    for _ in range(50):
        assert await parts.health.parts() == {"db": "up"}
    assert len(asked) == 1


async def test_a_draining_process_lives_but_is_not_ready(client: Client) -> None:
    lifecycle = client.app.extensions[EXTENSION].lifecycle  # type: ignore[attr-defined]
    assert (await client.get("/health/ready")).status_code == 200
    lifecycle.phase = Phase.DRAINING
    assert (await client.get("/health/ready")).status_code == 503
    health = await client.get("/health")
    assert health.status_code == 200
    assert (await health.get_json())["status"] == "draining"


async def test_metrics_count_requests_by_route_not_by_address(client: Client) -> None:
    for number in range(3):
        await client.get(f"/api/leaderboard/users/nobody{number}")
        await client.get(f"/nothing/{number}")
    text = (await (await client.get("/metrics")).get_data()).decode()
    assert 'http_requests_total{method="GET",route="/api/leaderboard/users/<user_id>",status="404"} 3.0' in text
    assert 'http_requests_total{method="GET",route="unmatched",status="404"} 3.0' in text
    assert "sse_connections 0.0" in text


@pytest.mark.parametrize("path", ["/", "/docs", *(f"/static/{file.name}" for file in WEB.iterdir() if file.suffix)])
async def test_every_file_of_the_pages_is_served_once(client: Client, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 200
    assert response.headers["Content-Type"].split(";")[0] in (
        "text/html",
        "text/javascript",
        "text/css",
        "image/svg+xml",
    )
    again = await client.get(path, headers={"If-None-Match": response.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("name", ["nope.js", "..%2fapp.py", "%2e%2e", "app.py", "index.html%00.js", ".js", "a" * 5000])
async def test_nothing_but_the_files_of_the_pages_is_served(client: Client, name: str) -> None:
    response = await client.get(f"/static/{name}")
    assert (response.status_code, await code(response)) == (404, "NOT_FOUND")


async def test_the_page_is_told_where_the_api_begins() -> None:
    async with FakeApi(api_settings(API_BASE_PATH="/v1/scores")).build().test_app() as app:
        client = app.test_client()
        assert b'data-api="/v1/scores"' in await (await client.get("/")).get_data()
        assert (await client.get("/v1/scores/leaderboard")).status_code == 200
        assert (await client.get("/api/leaderboard")).status_code == 404


@pytest.mark.parametrize("path", ["/api/leaderboard", "/health", "/", "/nope"])
async def test_every_answer_is_told_what_browsers_may_do_with_it(client: Client, path: str) -> None:
    headers = (await client.get(path)).headers
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/api/scores", {"POST", "OPTIONS"}), ("/api/leaderboard/stream", {"GET", "HEAD", "OPTIONS"})],
)
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "BREW"])
async def test_another_method_is_told_which_there_are(
    client: Client, path: str, allowed: set[str], method: str
) -> None:
    response = await client.open(path, method=method)
    assert (response.status_code, await code(response)) == (405, "METHOD_NOT_ALLOWED")
    assert set(response.headers["Allow"].split(", ")) == allowed
    options = await client.options(path)
    assert options.status_code == 200
    assert set(options.headers["Allow"].split(", ")) == allowed


async def test_a_failure_nobody_expected_shows_nothing_of_itself(
    fake: FakeApi, client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(fake.ranks, "top", broken)
    response = await client.get("/api/leaderboard")
    assert (response.status_code, await code(response)) == (500, "INTERNAL_ERROR")
    assert b"secret" not in await response.get_data()
    assert "secret detail" in caplog.text


async def test_a_known_origin_may_read_and_another_may_not(client: Client) -> None:
    known = await client.get("/api/leaderboard", headers={"Origin": "https://game.example"})
    assert known.headers["Access-Control-Allow-Origin"] == "https://game.example"
    assert known.headers["Access-Control-Allow-Credentials"] == "true"
    exposed = known.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "ETag", "X-Request-Id"} <= {
        *exposed
    }
    for origin in ("https://evil.example", "https://game.example.evil.example", "null", "http://game.example"):
        other = await client.get("/nope", headers={"Origin": origin})
        assert "Access-Control-Allow-Origin" not in other.headers
        assert "Origin" in other.headers["Vary"]


async def test_a_preflight_is_answered_for_what_exists_and_errors_can_be_read(client: Client) -> None:
    asked = {"Origin": "https://game.example", "Access-Control-Request-Method": "POST"}
    response = await client.options("/api/scores", headers=asked)
    assert response.status_code == 204
    allowed = response.headers["Access-Control-Allow-Headers"].split(", ")
    assert {"Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"} <= {*allowed}
    assert "POST" in response.headers["Access-Control-Allow-Methods"]
    assert (await client.options("/nope", headers=asked)).status_code == 404
    refused = await client.post("/api/scores", headers={"Origin": "https://game.example"})
    assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (401, "https://game.example")
