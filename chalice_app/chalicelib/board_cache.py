"""Which boards there are, for a process that serves one request at a time and has no background."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from scoreboard.boards import BOARD_ID, GLOBAL, Board
from scoreboard.errors import BoardUnavailable, Unavailable, UnknownBoard

KEEP_S: Final = 10.0
RETRY_S: Final = 5.0
"""After a failure, so that not every request waits for a database that is away."""


class BoardCache:
    """Boards, read at most every `KEEP_S`; while they cannot be read, those that are known stay.

    The default board is known from the start, so that its scores are taken while PostgreSQL is away.
    """

    def __init__(self, read: Callable[[], Sequence[Board]], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._boards = {GLOBAL.board_id: GLOBAL}
        self._loaded = False
        self._due = float("-inf")

    def get(self, board_id: str) -> Board:
        """Return a board.

        Raises:
            UnknownBoard: There is none of that name.
            BoardUnavailable: The boards could not be read yet, so that this cannot be said.
        """
        if not BOARD_ID.fullmatch(board_id):
            raise UnknownBoard
        if self._clock() >= self._due:
            self._refresh()
        board = self._boards.get(board_id)
        if board is not None:
            return board
        if self._loaded:
            raise UnknownBoard
        raise BoardUnavailable("The boards cannot be read for the moment. Try again.", retry_after_s=RETRY_S)

    def _refresh(self) -> None:
        try:
            read = self._read()
        except Unavailable:
            self._due = self._clock() + RETRY_S
            return
        self._boards = {GLOBAL.board_id: GLOBAL} | {board.board_id: board for board in read}
        self._loaded = True
        self._due = self._clock() + KEEP_S
