"""Everything one rehearsal has: the stores, the account, the deployment, and what is known of it."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scoreboard.auth import Keyring, issue_token
from scoreboard.boards import Board
from scoreboard.config import Settings
from scoreboard.events import ScoreEvent
from scoreboard.rank_reader_redis import RedisRankReader
from tests.rehearsal.cloud import Cloud
from tests.rehearsal.sam import Sam
from tests.rehearsal.stores import Stores

TOKEN_TTL_S = 3600
SETTINGS = Settings.from_env({"APP_ENV": "test"}, checks_tokens=False)
"""The defaults, which no template changes."""


@dataclass(frozen=True)
class Answer:
    """What came back over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)

    def __str__(self) -> str:
        return f"{self.status} {self.body[:300]}"


@dataclass(frozen=True)
class World:
    """One rehearsal."""

    folder: Path
    mark: str
    stores: Stores
    cloud: Cloud
    sam: Sam

    @property
    def parameter_path(self) -> str:
        """The path in Parameter Store that settings are read from."""
        return self.cloud.outputs_of("Data")["ConfigParameterPath"]

    def keys(self) -> dict[str, str]:
        """The deployed signing keys."""
        read: dict[str, str] = json.loads(self.cloud.secret(self.cloud.outputs_of("Data")["JwtSecretArn"]))
        return read

    def token(self, user: str, *, key: str | None = None, role: str = "player") -> str:
        """A token signed by the deployed current key, or by another."""
        secret = key or self.keys()["current"]
        keyring = Keyring.of(secret, "", issuer=SETTINGS.jwt_issuer, audience=SETTINGS.jwt_audience)
        return issue_token(keyring, user_id=user, role=role, ttl_s=TOKEN_TTL_S)

    def submit(self, token: str, value: int, *, key: str | None = None) -> Answer:
        """Submit a score at the deployed submission edge."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        return self.edge("POST", "/api/scores", {"delta": value}, headers)

    def edge(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask API Gateway, at the address AWS would give it."""
        address, here = urlsplit(self.cloud.outputs_of("Operations")["SubmissionApiUrl"]), urlsplit(self.cloud.endpoint)
        api = (address.hostname or "").partition(".")[0]
        return request(
            here.netloc, method, address.path.rstrip("/") + path, body, headers, f"{api}.execute-api.{here.netloc}"
        )

    def operation(self, logical_id: str) -> str:
        """The name of a deployed function of the operations app."""
        return self.cloud.physical_id("Operations", logical_id)

    def queue(self, logical_id: str) -> str:
        """The URL of a deployed queue."""
        return self.cloud.physical_id("Messaging", logical_id)

    def depth(self, logical_id: str) -> int:
        """How many messages a queue holds, also those that somebody works on."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.cloud.client("sqs").get_queue_attributes(QueueUrl=self.queue(logical_id), AttributeNames=names)
        return sum(int(found["Attributes"][name]) for name in names)

    def event(self, **given: Any) -> str:
        """A message of the score queue, as the service writes it."""
        fields = {"event_id": str(uuid.uuid4()), "board": "global", "accepted_at": time.time_ns() // 1000, **given}
        return ScoreEvent(
            event_id=uuid.UUID(fields["event_id"]),
            board_id=fields["board"],
            user_id=fields["user"],
            value=fields["value"],
            accepted_at=fields["accepted_at"],
            submitted_by=fields["user"],
        ).to_json()

    def boards_in_index(self) -> dict[str, dict[str, int]]:
        """What Valkey has, by board and user, read with the product's own reader."""
        return asyncio.run(self._read_index())

    async def _read_index(self) -> dict[str, dict[str, int]]:
        with self.stores.sql() as connection:
            boards = [row[0] for row in connection.execute("SELECT DISTINCT board_id FROM standings")]
        found = {}
        async with self.stores.async_redis() as client:
            reader = RedisRankReader(client, SETTINGS.redis_key_leaderboard)
            for board in boards:
                snapshot = await reader.top(Board(board_id=board), 100)
                found[board] = {each.user_id: each.score for each in snapshot.entries} if snapshot else {}
        return found

    def score(self, user: str, board: str = "global") -> int:
        """What PostgreSQL has, 0 without a line."""
        with self.stores.sql() as connection:
            query = "SELECT score FROM standings WHERE board_id = %s AND user_id = %s"
            row = connection.execute(query, (board, user)).fetchone()
        return int(row[0]) if row else 0


def request(
    address: str,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    host: str | None = None,
) -> Answer:
    """One request over HTTP to an address, under the name of a host."""
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Host": host or address, **(headers or {})})
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, text)
    finally:
        connection.close()
