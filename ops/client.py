"""The API as the verbs use it: where it is, tokens for it, submissions, frames."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from ops.http_client import Address, Connection, Response
from ops.listening import reachable
from ops.state import stack_settings
from ops.tokens import make_token
from scoreboard.config import Settings

_STREAM_SILENCE_S = 60.0


@dataclass(frozen=True)
class Api:
    """An API and the right to sign for it."""

    address: Address
    base_path: str
    settings: Settings

    @classmethod
    def find(cls, url: str | None) -> Api:
        """The API at a URL, or that of the local stack.

        Raises:
            OpsError: No stack has run and the environment says too little.
            WrongUse: The URL is none.
        """
        settings = stack_settings()
        return cls(
            Address.of(url or f"http://{reachable(settings.host)}:{settings.port}"), settings.api_base_path, settings
        )

    def connect(self, *, timeout_s: float = 10.0) -> Connection:
        """A connection of one's own."""
        return Connection(self.address, timeout_s=timeout_s)

    def token(self, user_id: str) -> str:
        """A token of a player."""
        return make_token(self.settings, user_id=user_id)

    async def submit(
        self,
        connection: Connection,
        *,
        token: str,
        value: int,
        field: str = "delta",
        board: str = "global",
        key: str | None = None,
    ) -> Response:
        """Send one score, as the field that the board's rules name. Raises `OSError` when its fate is unknown."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        body = json.dumps({field: value, "board": board}).encode()
        return await connection.request("POST", f"{self.base_path}/scores", headers=headers, body=body)

    async def standing(self, connection: Connection, user_id: str, board: str = "global") -> dict[str, Any] | None:
        """A user's line on a board, None without one."""
        path = f"{self.base_path}/leaderboard/users/{quote(user_id, safe='')}?{urlencode({'board': board})}"
        answer = await connection.request("GET", path)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise ConnectionError(f"{path} was answered with {answer.status}")
        found: dict[str, Any] = answer.json()
        return found

    async def frames(self, board: str, limit: int) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """The events of a board's stream, (name, data), for ever: it reconnects as a browser does.

        A pause without a connection is told as the event `lost` with its reason.
        """
        path = f"{self.base_path}/leaderboard/stream?{urlencode({'board': board, 'limit': limit})}"
        pause_s = 1.0
        while True:
            event, data = "message", ""
            try:
                connection = self.connect(timeout_s=_STREAM_SILENCE_S)
                async for line in connection.stream(path, {"Accept": "text/event-stream"}):
                    name, _, value = line.decode().partition(":")
                    value = value.removeprefix(" ")
                    if name == "retry":
                        pause_s = int(value) / 1000
                    elif name == "event":
                        event = value
                    elif name == "data":
                        data += value
                    elif not line and data:
                        yield event, json.loads(data)
                        event, data = "message", ""
                reason = "the server closed the stream"
            except OSError as problem:
                reason = str(problem) or type(problem).__name__
            yield "lost", {"reason": reason}
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))


def describe(answer: Response) -> str:
    """What an API says when it refuses."""
    try:
        said = answer.json()
        return f"{answer.status} {said['error_code']}: {said['message']}"
    except (ValueError, KeyError, TypeError):
        return f"{answer.status}: {answer.body[:200]!r}"
