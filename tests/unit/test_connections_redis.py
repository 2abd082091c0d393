"""What counts as Redis being away."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from scoreboard.connections_redis import redis_errors
from scoreboard.errors import LimiterUnavailable, Unavailable


async def _write_on_a_closed_connection() -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.transport.abort()
        await asyncio.sleep(0.01)
        with redis_errors(LimiterUnavailable):
            writer.writelines([b"PING\r\n"])


def test_a_connection_that_uvloop_finds_closed_counts_as_redis_being_away() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, pytest.raises(LimiterUnavailable):
        runner.run(_write_on_a_closed_connection())


def test_a_mistake_of_ours_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="a mistake"), redis_errors():
        raise RuntimeError("a mistake")
    with pytest.raises(Unavailable), redis_errors():
        raise ConnectionResetError
