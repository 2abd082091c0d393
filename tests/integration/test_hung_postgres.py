"""PostgreSQL that hangs: the server's own limits do not hold then, ours do."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from scoreboard.connections_postgres import open_pool
from scoreboard.errors import Unavailable
from scoreboard.score_store_postgres import PostgresScoreStore
from tests.support import parts
from tests.support.model import event


def test_a_server_that_hangs_ends_a_call_in_time_and_serves_again_afterwards() -> None:
    with parts.postgres_server() as server, open_pool(server.database(), size=1) as pool:
        store = PostgresScoreStore(pool, timeout_s=0.5)
        store.boards()
        with server.part.paused():
            for call in (store.boards, store.watermark, lambda: list(store.standings_since("global", 0))):
                with pytest.raises(Unavailable):
                    call()
            with pytest.raises(Unavailable):
                store.apply([event()], timeout_ms=500)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(Unavailable):
                assert store.boards()
                return
        raise AssertionError("it does not serve again")
