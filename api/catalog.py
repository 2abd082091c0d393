"""The catalog: which boards there are, as this process knows it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from scoreboard.boards import BOARD_ID, GLOBAL, Board
from scoreboard.errors import BoardUnavailable, Unavailable, UnknownBoard
from scoreboard.ports import ScoreReader

REFRESH_S: Final = 2.0

_log = logging.getLogger(__name__)


class BoardCatalog:
    """Boards from PostgreSQL, read in the background.

    The default board is known from the start, so that its scores are taken while PostgreSQL is away.
    """

    def __init__(self, reader: ScoreReader) -> None:
        self._reader = reader
        self._boards = {GLOBAL.board_id: GLOBAL}
        self._loaded = False

    def get(self, board_id: str) -> Board:
        """Return a board.

        Raises:
            UnknownBoard: There is none of that name.
            BoardUnavailable: The boards could not be read yet, so that this cannot be said.
        """
        board = self._boards.get(board_id)
        if board is not None:
            return board
        if self._loaded or not BOARD_ID.fullmatch(board_id):
            raise UnknownBoard
        raise BoardUnavailable(retry_after_s=2)

    def all(self) -> Sequence[Board]:
        """Return the known boards, by name."""
        return [self._boards[name] for name in sorted(self._boards)]

    def ids(self) -> Sequence[str]:
        """Return their names."""
        return list(self._boards)

    async def load(self) -> None:
        """Read the boards once. Raises `Unavailable`."""
        boards = {board.board_id: board for board in await self._reader.boards()}
        self._boards = {GLOBAL.board_id: GLOBAL} | boards
        self._loaded = True

    async def run(self) -> None:
        """Keep the catalog fresh until cancelled; while it cannot be read, what is known stays."""
        failing = False
        while True:
            try:
                await self.load()
                failing = False
            except Unavailable as error:
                if not failing:
                    _log.warning("boards cannot be read, the known ones stay: %s", error.message)
                failing = True
            except Exception:
                _log.exception("reading the boards failed")
            await asyncio.sleep(REFRESH_S)
