"""The use case: compare the whole index with the truth, and repair it.

The sweeper follows what changes. This looks at everything, for what no one noticed: a write that was lost without an
error, a member that should not be there. It disturbs nobody, as versions decide what is newer.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from scoreboard.boards import Board
from scoreboard.ports import RankWriter, ScoreStore
from scoreboard.service import rebuild_board, sweep_board

LOCK_MS: Final = 30_000
"""How long the post stays taken after its holder died."""


class Outcome(StrEnum):
    """What became of one board.

    CLEAN: It was as it should be. REPAIRED: Standings were missing, old or wrong. REBUILT: It was incomplete or had
    other members than the truth. DISTURBED: Someone else rebuilds it. UNFINISHED: The time was over.
    """

    CLEAN = "clean"
    REPAIRED = "repaired"
    REBUILT = "rebuilt"
    DISTURBED = "disturbed"
    UNFINISHED = "unfinished"


@dataclass(slots=True)
class ReconcileReport:
    """What became of all boards.

    Attributes:
        running: Whether this was the one that runs; else nothing was done.
        boards: Board -> outcome.
        repaired: How many standings were written.
    """

    running: bool = True
    boards: dict[str, Outcome] = field(default_factory=dict)
    repaired: int = 0

    def count(self, outcome: Outcome) -> int:
        """How many boards had an outcome."""
        return sum(each is outcome for each in self.boards.values())


class _Stop(Exception):
    """The time is over, or another one runs now."""


def reconcile(*, store: ScoreStore, writer: RankWriter, holder: str, time_left: Callable[[], bool]) -> ReconcileReport:
    """Compare every board with the truth and repair it, while there is time left.

    The boards come in random order, so that none is always the last when the time does not suffice for all.

    Args:
        store: The truth.
        writer: The index.
        holder: A name of this run: only one runs at a time.
        time_left: Asked again and again; the run ends soon after it says no.

    Raises:
        Unavailable: A part is away; the next run begins again.
    """
    report = ReconcileReport()
    if not writer.acquire_reconciliation(holder, LOCK_MS):
        return ReconcileReport(running=False)

    def progress(_written: int) -> None:
        if not time_left() or not writer.acquire_reconciliation(holder, LOCK_MS):
            raise _Stop

    boards = list(store.boards())
    random.shuffle(boards)
    for board in boards:
        report.boards[board.board_id] = Outcome.UNFINISHED
    try:
        for board in boards:
            progress(0)
            outcome, repaired = _reconcile_board(board, store, writer, progress)
            report.boards[board.board_id] = outcome
            report.repaired += repaired
    except _Stop:
        pass
    return report


def _reconcile_board(
    board: Board, store: ScoreStore, writer: RankWriter, progress: Callable[[int], None]
) -> tuple[Outcome, int]:
    state = writer.state(board.board_id)
    repaired = 0
    fewest, size = store.count(board.board_id), writer.size(board.board_id)
    # What lost a key or most of its members is rebuilt, which hides it: repaired, it would be seen filling up.
    whole = size.ranks == size.members and 2 * size.ranks >= fewest
    # A watermark that the truth has not reached is of another truth: a backup has been restored.
    if whole and state.complete and state.watermark <= store.watermark():
        repaired = sweep_board(board, store=store, writer=writer, watermark=0, progress=progress)
        size = writer.size(board.board_id)
        most = store.count(board.board_id)
        # Users only ever come. So the index, once swept, has all who were there before, and nobody who is not there
        # after it was counted; scores that arrive meanwhile cannot spoil the comparison.
        if size.ranks == size.members and fewest <= size.ranks <= most:
            return (Outcome.REPAIRED if repaired else Outcome.CLEAN), repaired
    complete = rebuild_board(board, store=store, writer=writer, progress=progress)
    return (Outcome.REBUILT if complete else Outcome.DISTURBED), repaired
