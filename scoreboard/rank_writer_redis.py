"""The ranking index in Redis, written."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final

import redis

from scoreboard.boards import Board
from scoreboard.connections_redis import redis_errors
from scoreboard.ports import RankSize, RankState
from scoreboard.queries import lua
from scoreboard.ranking import BoardKeys, changes_channel, encode_member
from scoreboard.standings import Standing

CHUNK: Final = 500
"""Standings a call: long enough to be cheap, short enough not to hold up readers (Redis runs one script at a time)."""


class RedisRankWriter:
    """`RankWriter` by Lua scripts, each of one board's keys."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._channel = changes_channel(prefix)
        names = ("apply", "state", "size", "set_watermark", "begin_rebuild", "complete_rebuild", "acquire_lock")
        self._scripts = {name: client.register_script(lua(name)) for name in names}

    def apply(self, board: Board, standings: Sequence[Standing], *, announce: bool = True) -> int:
        """Write what is newer; announce if anything changed. Return how many changed."""
        keys = BoardKeys.of(self._prefix, board.board_id)
        changed = 0
        for start in range(0, len(standings), CHUNK):
            arguments: list[str | int] = [self._channel, board.board_id, int(announce)]
            for standing in standings[start : start + CHUNK]:
                member = encode_member(board.sort_order, standing.reached_at, standing.user_id)
                arguments += (standing.user_id, standing.version, member, standing.score)
            changed += int(self._call("apply", [keys.ranks, keys.members, keys.meta], arguments))
        return changed

    def state(self, board_id: str) -> RankState:
        """Whether the board is complete, and its watermark."""
        complete, _epoch, _seq, watermark = self._call("state", [self._keys(board_id).meta])
        return RankState(bool(complete), int(watermark))

    def size(self, board_id: str) -> RankSize:
        """How many users the index of a board has."""
        keys = self._keys(board_id)
        ranks, members = self._call("size", [keys.ranks, keys.members])
        return RankSize(int(ranks), int(members))

    def set_watermark(self, board_id: str, watermark: int) -> None:
        """Note up to where the truth has been applied."""
        self._call("set_watermark", [self._keys(board_id).meta], [watermark])

    def begin_rebuild(self, board_id: str) -> str:
        """Empty the board, mark it incomplete, and return the generation token of this rebuild."""
        keys = self._keys(board_id)
        token = secrets.token_hex(8)
        self._call("begin_rebuild", [keys.ranks, keys.members, keys.meta], [token])
        return token

    def complete_rebuild(self, board_id: str, token: str, watermark: int) -> bool:
        """Mark the board complete under a new epoch, if no one began or emptied anything since the token."""
        arguments: list[str | int] = [token, secrets.token_hex(6), watermark, self._channel, board_id]
        return bool(self._call("complete_rebuild", [self._keys(board_id).meta], arguments))

    def acquire_sweep(self, holder: str, ttl_ms: int) -> bool:
        """Take or keep the one sweeper's lock."""
        return bool(self._call("acquire_lock", [f"{self._prefix}:sweeper"], [holder, ttl_ms]))

    def acquire_reconciliation(self, holder: str, ttl_ms: int) -> bool:
        """Take or keep the lock of the one who compares whole boards."""
        return bool(self._call("acquire_lock", [f"{self._prefix}:reconciler"], [holder, ttl_ms]))

    def _keys(self, board_id: str) -> BoardKeys:
        return BoardKeys.of(self._prefix, board_id)

    def _call(self, name: str, keys: list[str], arguments: Sequence[str | int] = ()) -> Any:
        with redis_errors():
            return self._scripts[name](keys=keys, args=list(arguments))
