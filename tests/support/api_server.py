"""The real server on fakes, as a program; every POST to /test/put changes the board, /test/slow takes its time."""

from __future__ import annotations

import asyncio
import sys

from quart import Quart, request

from api.connections import Connections
from api.server import main
from scoreboard.config import Settings
from tests.support.api_fakes import FakeApi, FakeGate


def make_app(settings: Settings, connections: Connections) -> Quart:
    fake = FakeApi(settings, gate=FakeGate(settings.rate_limit_max_requests))
    app = fake.build(connections)

    @app.post("/test/put")
    async def put() -> dict[str, int]:
        size = request.args.get("size", 3, int)
        rows = [(f"user-{number:03}", fake.ranks.seq["global"] * 10 + number) for number in range(size)]
        fake.ranks.put("global", rows)
        return {"version": fake.ranks.seq["global"]}

    @app.get("/test/slow")
    async def slow() -> dict[str, str]:
        await asyncio.sleep(request.args.get("seconds", 1.0, float))
        return {"status": "done"}

    @app.get("/test/large")
    async def large() -> bytes:
        return bytes(1_000_000)

    return app


if __name__ == "__main__":
    sys.exit(main(make_app))
